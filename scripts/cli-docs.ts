import type { Command } from 'commander';
import { format } from 'prettier';
import { aliases, introduction, output, references, statuses } from './cli-docs-prose.ts';
import { documentedCommands, optionsOf, usageOf, type DocumentedOption } from './cli-options.ts';

/** docs/cli.md. */
export function cliDocs(program: Command): Promise<string> {
  const { commands, copy } = documentedCommands(program);
  const document = [
    introduction,
    summaryOf(commands),
    references,
    ...commands.map((command) => section(command, copy)),
    output,
    statuses,
    aliases,
  ].join('\n\n');
  return format(document, { parser: 'markdown', printWidth: 120 });
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

function optionTables(command: Command, copy: Command): readonly string[] {
  const { own, shared } = optionsOf(command, copy);
  const tables = own.map(
    ({ heading, options }) =>
      `**${heading}**\n\n${table(['option', 'what it does', 'default', 'variable'], options.map(optionRow))}`,
  );
  if (shared.length === 0) return tables;
  const lines = shared.map(({ heading, names }) => `- ${heading}: ${names.map(code).join(', ')}`);
  return [...tables, `As in [imgcopy copy](#imgcopy-copy), for the one registry:\n\n${lines.join('\n')}`];
}

function optionRow({ names, value, description, defaultValue, variables }: DocumentedOption): readonly string[] {
  return [
    [...names, ...(value === '' ? [] : [value])].map(code).join(' '),
    description,
    defaultValue,
    variables.map(code).join(' '),
  ];
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll(/[|*]/g, '\\$&')).join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}
