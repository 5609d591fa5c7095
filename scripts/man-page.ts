import type { Command } from 'commander';
import { aliases, introduction, output, references, statuses } from './cli-docs-prose.ts';
import { documentedCommands, optionsOf, usageOf, type DocumentedOption } from './cli-options.ts';

// @see https://man7.org/linux/man-pages/man7/man.7.html

/** Of a line in the source. */
const MAX_WIDTH = 78;

/**
 * man/imgcopy.1.
 * @param changelog  CHANGELOG.md, which has the date of the release.
 */
export function manPage(program: Command, changelog: string): string {
  const { commands, copy } = documentedCommands(program);
  const version = program.version() ?? '';
  const [, date = ''] =
    changelog
      .split('\n')
      .find((heading) => heading.startsWith(`## ${version} (`))
      ?.split(/[()]/) ?? [];
  const [, ...usage] = introduction.split('\n\n').filter((paragraph) => !paragraph.startsWith('<!--'));
  return [
    `.\\" Written by npm run docs.`,
    `.TH IMGCOPY 1 ${date} "imgcopy ${version}" "User Commands"`,
    '.SH NAME',
    'imgcopy \\- copies container images between registries, directories and archives',
    '.SH SYNOPSIS',
    commands.map((command) => `.B ${escaped(usageOf(command))}`).join('\n.br\n'),
    '.SH DESCRIPTION',
    text(program.description()),
    ...usage.map((paragraph) => `.PP\n${text(paragraph)}`),
    roffOf(references),
    '.SH COMMANDS',
    ...commands.map((command) => section(command, copy)),
    roffOf(output),
    roffOf(statuses),
    roffOf(aliases),
    '.SH SEE ALSO',
    '.BR skopeo (1),\n.BR containers\\-auth.json (5),\n.BR containers\\-registries.conf (5)',
    '',
  ]
    .join('\n')
    .replaceAll(/^(\.SH .*\n)\.PP\n/gm, '$1');
}

function section(command: Command, copy: Command): string {
  const { own, shared } = optionsOf(command, copy);
  const also = command.aliases();
  return [
    `.SS ${escaped(usageOf(command))}`,
    text(command.description()),
    ...(also.length === 0 ? [] : [text(`Also called ${also.map((name) => `\`${name}\``).join(', ')}.`)]),
    ...command.registeredArguments.map((argument) => item([argument.name().toUpperCase()], argument.description)),
    ...own.map(({ heading, options }) => `.PP\n.I ${escaped(heading)}\n${options.map(optionItem).join('\n')}`),
    ...shared.map(
      ({ heading, names }) =>
        `.PP\n${text(`${heading}, as for \`imgcopy copy\`: ${names.map((name) => `\`${name}\``).join(', ')}`)}`,
    ),
  ].join('\n');
}

function optionItem({ names, value, description, defaultValue }: DocumentedOption): string {
  const operand = value === '' ? '' : ` \\fI${escaped(value.slice(1, -1))}\\fR`;
  const explanation = defaultValue === '' ? description : `${description} (default: ${defaultValue})`;
  return `.TP\n${names.map((name) => `\\fB${escaped(name)}\\fR`).join(', ')}${operand}\n${text(explanation)}`;
}

function item(names: readonly string[], explanation: string): string {
  return `.TP\n${names.map((name) => `\\fB${escaped(name)}\\fR`).join(', ')}\n${text(explanation)}`;
}

/** The Markdown that the prose of docs/cli.md uses: headings, paragraphs, tables, and blocks of code. */
function roffOf(markdown: string): string {
  return markdown
    .split(/\n{2,}/)
    .map((block) => {
      if (block.startsWith('## ')) return `.SH ${escaped(block.slice('## '.length)).toUpperCase()}`;
      if (block.startsWith('|')) return tableItems(block);
      const [, listing] = /^```\w*\n(.*)\n```$/s.exec(block) ?? [];
      const indented = /^ {4}/.test(block) ? block.replaceAll(/^ {4}/gm, '') : undefined;
      const code = listing ?? indented;
      return code === undefined ? `.PP\n${text(block)}` : `.PP\n.EX\n${code.split('\n').map(line).join('\n')}\n.EE`;
    })
    .join('\n');
}

/** The first column names, the others explain. */
function tableItems(block: string): string {
  const [, , ...rows] = block.split('\n').map((row) => row.split(/(?<!\\)\|/).slice(1, -1));
  return rows
    .map(([name = '', ...cells]) => `.TP\n${text(name)}\n${text(cells.map((cell) => cell.trim()).join('; '))}`)
    .join('\n');
}

/** Prose with `code` and [links](to.md), in short lines. */
function text(markdown: string): string {
  const roff = markdown
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .trim()
    .split('`')
    .map((part, at) => (at % 2 === 1 ? `\\fB${escaped(part)}\\fR` : escaped(part.replaceAll(/\\([|*_])/g, '$1'))))
    .join('');
  const lines = [''];
  for (const word of roff.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trimStart();
    if (longer.length <= MAX_WIDTH) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.map(unlessRequest).join('\n');
}

function line(code: string): string {
  return unlessRequest(escaped(code));
}

/** A line that begins with a dot or an apostrophe would be taken for a request. */
function unlessRequest(roff: string): string {
  return /^[.']/.test(roff) ? `\\&${roff}` : roff;
}

function escaped(plain: string): string {
  return plain.replaceAll('\\', '\\(rs').replaceAll('-', '\\-').replaceAll('…', '...').replaceAll("'", '\\(aq');
}
