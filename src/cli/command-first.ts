import type { Command } from 'commander';
import { refuseHelpWithout, refuseMistypedCommand } from './mistyped-command.ts';

/**
 * The arguments with the command in front, for people who write options before it, as skopeo wants some: `--debug copy SRC DST`.
 * @throws ImgcopyError of kind `usage` for what was probably meant as a command, and would be taken for an image.
 */
export function verbFirst(argv: readonly string[], program: Command): readonly string[] {
  const at = firstOperand(argv, program);
  const operand = at === -1 ? undefined : argv[at];
  if (operand === undefined) return argv;
  const verb = findVerb(operand, program);
  if (verb === undefined) {
    refuseMistypedCommand(operand, program);
    return argv;
  }
  const topic = argv[at + 1];
  if (verb === 'help' && topic !== undefined && !topic.startsWith('-')) refuseHelpWithout(topic, program);
  const others = [...argv.slice(0, at), ...argv.slice(at + 1)];
  // Hints speak of the sides of a copy; other commands have one.
  return [operand, ...(verb === 'copy' ? others : others.map((argument) => argument.replace(/^--src-/, '--')))];
}

function firstOperand(argv: readonly string[], program: Command): number {
  const takingValues = new Set(
    [program, ...program.commands].flatMap(({ options }) =>
      options.filter(({ required }) => required).flatMap(({ short, long }) => [short, long]),
    ),
  );
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] ?? '';
    if (argument === '--') return -1;
    if (!argument.startsWith('-') || argument === '-') return index;
    if (takingValues.has(argument)) index += 1;
  }
  return -1;
}

function findVerb(text: string, { commands }: Command): string | undefined {
  if (text === 'help') return text;
  return commands.find((command) => command.name() === text || command.aliases().includes(text))?.name();
}
