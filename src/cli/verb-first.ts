import type { Command } from 'commander';
import { ImgcopyError } from '../index.ts';

/** Verbs of other tools for images, that one may type by habit. None is the name of an image that people copy. */
const OTHER_VERBS: ReadonlySet<string> = new Set([
  'append',
  'auth',
  'blob',
  'catalog',
  'delete',
  'export',
  'flatten',
  'list',
  'load',
  'manifest',
  'mutate',
  'pull',
  'push',
  'rebase',
  'rm',
  'save',
  'sync',
  'tag',
  'validate',
]);

/**
 * The arguments with the command in front, for people who write options before it, as skopeo wants some: `--debug copy SRC DST`.
 * @throws ImgcopyError of kind `usage` for a command of other tools: it would be taken for the name of an image.
 */
export function verbFirst(argv: readonly string[], program: Command): readonly string[] {
  const at = firstOperand(argv, program);
  const operand = at === -1 ? undefined : argv[at];
  if (operand === undefined) return argv;
  if (OTHER_VERBS.has(operand)) throw unknownVerb(operand);
  const verb = findVerb(operand, program);
  if (verb === undefined) return argv;
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

function unknownVerb(verb: string): ImgcopyError {
  return new ImgcopyError(`there is no command ${verb}`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: `imgcopy --help lists the commands; an image called ${verb} is written docker://${verb}`,
  });
}
