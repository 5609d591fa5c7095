import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Command, Option } from 'commander';
import { format } from 'prettier';
import { createProgram } from '../src/cli/program.ts';
import { aliases, introduction, output, references, statuses } from './cli-docs-prose.ts';

// Usage: generate-cli-docs.ts [--check]
//
// Writes docs/cli.md from the definition of the command line; with --check, fails where it would be another.

const file = fileURLToPath(new URL('../docs/cli.md', import.meta.url));
const fresh = await format(document(createProgram(new AbortController().signal)), {
  parser: 'markdown',
  printWidth: 120,
});
if (process.argv.includes('--check')) {
  const current = await readFile(file, 'utf8').catch(() => '');
  if (current !== fresh) {
    process.stderr.write('docs/cli.md is not what the command line is: run `npm run docs`\n');
    process.exitCode = 1;
  }
} else {
  await mkdir(new URL('../docs/', import.meta.url), { recursive: true });
  await writeFile(file, fresh);
}

function document(program: Command): string {
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const copy = commands.find((command) => command.name() === 'copy');
  if (copy === undefined) throw new Error('there is no copy');
  return [
    introduction,
    summaryOf(commands),
    references,
    ...commands.map((command) => section(command, copy)),
    output,
    statuses,
    aliases,
  ].join('\n\n');
}

function summaryOf(commands: readonly Command[]): string {
  const rows = commands.map((command) => [code(usageOf(command)), command.summary()]);
  return `${table(['command', 'what it does'], rows)}

There are also \`imgcopy help COMMAND\` and \`imgcopy --version\`.`;
}

function section(command: Command, copy: Command): string {
  const also = command.aliases().map(code).join(', ');
  return [
    `## imgcopy ${command.name()}`,
    code(usageOf(command)),
    command.description(),
    also === '' ? '' : `Also called ${also}.`,
    table(
      ['argument', 'what it is'],
      command.registeredArguments.map((argument) => [code(argument.name().toUpperCase()), argument.description]),
    ),
    ...optionTables(command, copy),
  ].join('\n\n');
}

/** The options that several commands share are in the tables of copy alone. */
function optionTables(command: Command, copy: Command): readonly string[] {
  const isShared = ({ long }: Option): boolean =>
    command !== copy &&
    long !== '--json' &&
    copy.options.some((option) => option.long === long && isOfRegistry(option));
  const groups = Map.groupBy(
    command.options.filter((option) => !isShared(option)),
    (option) => option.helpGroupHeading ?? 'Options:',
  );
  const shared = Map.groupBy(command.options.filter(isShared), (option) => option.helpGroupHeading ?? 'Options:');
  const names = [...shared].map(
    ([heading, options]) => `${heading.replace(/:$/, '')}: ${options.map(({ long }) => code(long ?? '')).join(', ')}`,
  );
  const tables = [...groups].map(
    ([heading, options]) =>
      `**${heading.replace(/:$/, '')}**\n\n${table(['option', 'what it does', 'default', 'variable'], optionRows(options))}`,
  );
  return names.length === 0
    ? tables
    : [
        ...tables,
        `As in [imgcopy copy](#imgcopy-copy), for the one registry:\n\n${names.map((line) => `- ${line}`).join('\n')}`,
      ];
}

/** Whether it is about how registries are reached, and not about what is copied or printed. */
function isOfRegistry({ helpGroupHeading }: Option): boolean {
  return ['Credentials:', 'Connections:', 'How it is copied:', 'Output:'].includes(helpGroupHeading ?? '');
}

/** An option and its twins for one side alone share a row. */
function optionRows(options: readonly Option[]): readonly (readonly string[])[] {
  return options
    .filter(({ long }) => !isForOneSide(long))
    .map((option) => {
      const twins = options.filter(
        ({ long }) => isForOneSide(long) && long?.replace(/^--(?:src|dest)-/, '--') === option.long,
      );
      const [, value = ''] = /(<.*>)$/.exec(option.flags) ?? [];
      const names = [option.short, option.long, ...twins.map(({ long }) => long)].filter((name) => name !== undefined);
      return [
        [...names.map(code), ...(value === '' ? [] : [code(value)])].join(' '),
        option.description,
        option.defaultValueDescription ?? '',
        [option, ...twins].flatMap(({ envVar }) => (envVar === undefined ? [] : [code(envVar)])).join(' '),
      ];
    });
}

function isForOneSide(long: string | undefined): boolean {
  return /^--(?:src|dest)-/.test(long ?? '');
}

function usageOf(command: Command): string {
  const operands = command.registeredArguments.map((argument) => argument.name().toUpperCase());
  return ['imgcopy', command.name() === 'copy' ? '[copy]' : command.name(), ...operands, '[options]'].join(' ');
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll(/[|*]/g, '\\$&')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}
