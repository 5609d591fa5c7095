import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { withoutAliases } from '../../src/cli/aliases.ts';
import { verbFirst } from '../../src/cli/command-first.ts';
import { createProgram } from '../../src/cli/program.ts';
import { requireTool, runTool } from '../support/real-tools.ts';

interface Page {
  /** How the tool lists its commands: commands that have commands of their own. */
  readonly groups: readonly string[];
  /** Commands that are on the page, and not in the tool as it is installed here. */
  readonly elsewhere?: readonly string[];
}

const pages: Readonly<Record<string, Page>> = {
  skopeo: { groups: [''] },
  crane: { groups: ['', 'auth', 'index', 'registry'] },
  regctl: { groups: ['', 'artifact', 'blob', 'config', 'image', 'index', 'manifest', 'registry', 'repo', 'tag'] },
  oras: { groups: ['', 'blob', 'manifest', 'manifest index', 'repo'] },
  // Not all of docker's commands are about registries, and buildx is a package of its own.
  docker: { groups: ['manifest'], elsewhere: ['buildx'] },
};

/** Values that stand for the placeholders of the pages. */
const VALUES: ReadonlyMap<string, string> = new Map([
  ['N', '3'],
  ['DURATION', '5s'],
  ['PLATFORM', 'linux/amd64'],
  ['OS', 'linux'],
  ['ARCH', 'arm64'],
  ['VARIANT', 'v8'],
]);

interface Row {
  readonly options: readonly { readonly name: string; readonly value: string | undefined }[];
  readonly asItIs: string;
}

interface Section {
  readonly heading: string;
  /** The words after the tool's name; undefined where the section is not about one command. */
  readonly command: string | undefined;
  /** Ours, and copy for options of every command; undefined where there is none. */
  readonly verb: string | undefined;
  readonly rows: readonly Row[];
}

const names = new Set(
  createProgram(new AbortController().signal).commands.flatMap(({ options }) =>
    options.flatMap(({ long, short }) => [long, short]),
  ),
);

for (const [tool, { groups, elsewhere = [] }] of Object.entries(pages)) {
  describe(`docs/coming-from-${tool}.md`, async () => {
    const page = await readFile(new URL(`../../docs/coming-from-${tool}.md`, import.meta.url), 'utf8');
    const sections = page
      .split(/^## /m)
      .slice(1)
      .map((text) => sectionOf(text, tool));
    const everywhere = sections.filter(({ command }) => command === undefined).flatMap(optionNames);

    test('options that it calls ours are there, and so are commands', () => {
      const { commands } = createProgram(new AbortController().signal);
      const verbs = new Set(commands.flatMap((command) => [command.name(), ...command.aliases(), 'help']));
      for (const span of ourSpans(page, tool)) {
        for (const [name] of span.matchAll(/(?<![\w-])--?[a-z](?:[\w-]*\w)?(?![\w-])/g)) {
          if (/^(?:imgcopy|-)/.test(span) && name !== '--version' && !span.includes('grep'))
            assert.ok(names.has(name), `${name} in ${span}`);
        }
        const [, verb] = /\bimgcopy ([a-z-]+)(?= |$)/.exec(span) ?? [];
        if (verb !== undefined && !verb.startsWith('-')) assert.ok(verbs.has(verb), span);
      }
    });

    for (const { heading, verb, rows } of sections) {
      if (verb === undefined || rows.length === 0) continue;
      test(`${heading}: what is said to work as it is does, and the rest does not`, () => {
        for (const { options, asItIs } of rows) {
          for (const { name, value } of options) {
            const typed = [name, ...(value === undefined ? [] : [VALUES.get(value) ?? value])];
            if (asItIs === 'yes') assert.deepEqual(unknownOf(verb, typed), [], typed.join(' '));
            else if (asItIs === 'no') assert.ok(isRefused(verb, typed), typed.join(' '));
            else assert.equal(asItIs, 'differs', name);
          }
        }
      });
    }

    test('every option of its commands is there', async (t) => {
      const path = requireTool(t, tool);
      if (path === undefined) return;
      const isInstalled = ({ command }: Section): boolean =>
        command !== undefined && !elsewhere.some((word) => command.startsWith(word));
      const asked = [{ command: '', rows: [] }, ...sections.filter(isInstalled)];
      const missing: string[] = [];
      for (const { command = '', rows } of tool === 'docker' ? asked.slice(1) : asked) {
        const here = new Set([...optionNames({ rows }), ...everywhere, '-h', '--help']);
        const theirs = optionsInHelp(await helpOf(path, command));
        assert.ok(theirs.length > 0, command);
        missing.push(...theirs.filter((name) => !here.has(name)).map((name) => `${tool} ${command} ${name}`));
      }
      assert.deepEqual(missing, []);
    });

    test('every command is there', async (t) => {
      const path = requireTool(t, tool);
      if (path === undefined) return;
      const mentioned = new Set(spansOf(page));
      const missing: string[] = [];
      for (const group of groups) {
        const commands = commandsInHelp(await helpOf(path, group)).map((name) => `${group} ${name}`.trim());
        assert.ok(commands.length > 0, group);
        missing.push(
          ...commands.filter((name) => !groups.includes(name) && name !== 'help' && !mentioned.has(`${tool} ${name}`)),
        );
      }
      assert.deepEqual(missing, []);
    });
  });
}

/** The options that a command of ours does not have, of what is typed. @throws for what cannot be. */
function unknownOf(verb: string, typed: readonly string[]): readonly string[] {
  const program = createProgram(new AbortController().signal);
  const [name = '', ...rest] = verbFirst(withoutAliases([verb, 'a/b:1', ...typed]), program);
  const command = program.commands.find((one) => one.name() === name) as Command;
  command.exitOverride().configureOutput({ outputError: () => undefined, writeErr: () => undefined });
  return command.parseOptions(rest).unknown;
}

function isRefused(verb: string, typed: readonly string[]): boolean {
  try {
    return unknownOf(verb, typed).length > 0;
  } catch {
    return true;
  }
}

function sectionOf(text: string, tool: string): Section {
  const heading = text.slice(0, text.indexOf('\n'));
  const [theirs = '', ours = ''] = heading.split(': ');
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('| `-'))
    .map((line) => {
      const [options = '', asItIs = ''] = line.split(' | ');
      return {
        asItIs: asItIs.trim(),
        options: spansOf(options).map((span) => {
          const [name = '', value] = span.split(' ');
          return { name, value };
        }),
      };
    });
  return {
    heading,
    command: theirs.startsWith(`${tool} `) ? theirs.slice(tool.length + 1) : undefined,
    verb: ours.startsWith('imgcopy ')
      ? ours.slice('imgcopy '.length)
      : heading === 'Every command'
        ? 'copy'
        : undefined,
    rows,
  };
}

function optionNames({ rows }: Pick<Section, 'rows'>): readonly string[] {
  return rows.flatMap(({ options }) => options.map(({ name }) => name));
}

function spansOf(markdown: string): readonly string[] {
  return [...markdown.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
}

/** What the page says of imgcopy: all code but the first cells of tables, and the commands of others. */
function ourSpans(page: string, tool: string): readonly string[] {
  return page
    .split('\n')
    .map((line) => line.replace(/^\|[^|]*\|/, ''))
    .flatMap(spansOf)
    .filter((span) => !span.startsWith(`${tool} `));
}

async function helpOf(path: string, command: string): Promise<string> {
  return (await runTool(path, [...command.split(' ').filter((word) => word !== ''), '--help'])).stdout;
}

function optionsInHelp(help: string): readonly string[] {
  return [...help.matchAll(/^ {2,6}(?:(-\w), )?(--[\w.-]+)/gm)].flatMap(([, short, long]) =>
    [short, long].filter((name) => name !== undefined),
  );
}

function commandsInHelp(help: string): readonly string[] {
  const [, list = ''] = /^(?:Available )?Commands:\n((?: {2}\S.*\n)+)/m.exec(help) ?? [];
  return [...list.matchAll(/^ {2}(\S+)/gm)].map(([, name = '']) => name);
}
