import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { test } from 'node:test';
import { withoutAliases } from '../../src/cli/aliases.ts';
import { exitStatusOf } from '../../src/cli/error-report.ts';
import { createProgram } from '../../src/cli/program.ts';
import { ImgcopyError } from '../../src/index.ts';

const root = new URL('../../', import.meta.url);
const names = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'];
for await (const page of glob('docs/*.md', { cwd: root })) names.push(page);
const pages = await Promise.all(
  names.map(async (name) => ({ name, text: await readFile(new URL(name, root), 'utf8') })),
);

function textOf(name: string): string {
  return pages.find((page) => page.name === name)?.text ?? '';
}

/** The first cells of the table whose head begins with `status`. */
function statusesIn(text: string): readonly string[] {
  const [, rows = ''] = /^\| (?:exit )?status +\|.*\n\|[ |-]+\n((?:\|.*\n?)+)/m.exec(text) ?? [];
  return rows
    .split('\n')
    .flatMap((row) => row.split('|')[1]?.split(',') ?? [])
    .map((status) => status.trim())
    .toSorted();
}

test('all pages have the same exit statuses, and those that errors lead to', () => {
  const statuses = statusesIn(textOf('docs/errors.md'));
  assert.deepEqual(statusesIn(textOf('docs/cli.md')), statuses);
  assert.deepEqual(statusesIn(textOf('README.md')), statuses);
  const [, ...kinds] = [...textOf('docs/errors.md').matchAll(/^\| (\d) \| `([a-z-]+)` \|/gm)];
  assert.ok(kinds.length > 3);
  for (const [, status, kind] of kinds)
    assert.equal(exitStatusOf(new ImgcopyError('', { code: 'ERR_FAILED', kind: kind as 'usage' })), Number(status));
});

test('where a page gives the exit status of an error, docs/errors.md has the code among those of that status', () => {
  const statusesOf = new Map<string, readonly string[]>();
  for (const section of textOf('docs/errors.md').split(/^### /m)) {
    const [, statuses = ''] = /^[^\n]*\(([\d, ]+)\)\n/.exec(section) ?? [];
    for (const row of section.match(/^\| `ERR_.*$/gm) ?? [])
      for (const code of row.split(' | ')[0]?.match(/ERR_\w+/g) ?? [])
        statusesOf.set(code, [...statuses.split(', '), ...(row.match(/(?<=exit status )\d+/g) ?? [])]);
  }
  const wrong = pages.flatMap(({ name, text }) =>
    [...text.matchAll(/`(ERR_\w+)`,\s+exit\s+status\s+(\d+)/g)]
      .filter(([, code = '', status = '']) => statusesOf.get(code)?.includes(status) !== true)
      .map(([found]) => `${name}: ${found}`),
  );
  assert.ok(statusesOf.size > 50);
  assert.deepEqual(wrong, []);
});

test('links lead to files and headings that are there', async () => {
  const dead: string[] = [];
  for (const { name, text } of pages) {
    for (const [, link = ''] of withoutBlocks(text).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)) {
      const [path = '', heading] = link.split('#');
      const target = path === '' ? name : posix.join(posix.dirname(name), path);
      const linked = await readFile(new URL(target, root), 'utf8').catch(() => undefined);
      if (linked === undefined || (heading !== undefined && !headingsIn(linked).includes(heading)))
        dead.push(`${name}: ${link}`);
    }
  }
  assert.deepEqual(dead, []);
});

/** The headings of a page, as GitHub makes anchors of them. */
function headingsIn(text: string): readonly string[] {
  return [...withoutBlocks(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function withoutBlocks(text: string): string {
  return text.replaceAll(/^```.*?^```/gms, '');
}

test('options that the pages name are there', () => {
  const known = new Set(
    createProgram(new AbortController().signal).commands.flatMap(({ options }) =>
      options.flatMap(({ long, short }) => [long, short]),
    ),
  );
  const unknown = pages.flatMap(({ name, text }) =>
    name.includes('coming-from-')
      ? []
      : optionsIn(text).flatMap((option) => (isOurs(option, known) ? [] : `${name}: ${option}`)),
  );
  assert.deepEqual(unknown, []);
});

/** In code that is about imgcopy: what begins with its name or with an option, in a line or in a block. */
function optionsIn(text: string): readonly string[] {
  const spans = [...withoutBlocks(text).matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
  const blocks = [...text.matchAll(/^```(?:sh|console)\n(.*?)^```/gms)].flatMap(([, block = '']) =>
    block.replaceAll('\\\n', ' ').split(/\n|\|/),
  );
  return [...spans, ...blocks]
    .map((code) => code.replace(/^\s*\$? */, '').replace(/#.*/, ''))
    .filter((code) => /^(?:imgcopy\b|--?[a-z])/.test(code))
    .flatMap((code) => code.match(/(?<=^|\s)--?[a-z](?:[\w-]*\w)?(?=[\s=]|$)/g) ?? []);
}

/** Those of scripts in this repository, and of podman. */
const OTHERS: ReadonlySet<string> = new Set(['--case', '--only', '--seed', '--force-compression']);

function isOurs(option: string, known: ReadonlySet<string | undefined>): boolean {
  if (known.has(option) || OTHERS.has(option) || ['--help', '--version', '-h', '-V'].includes(option)) return true;
  const taken = withoutAliases([option, 'all']);
  return taken.every((argument) => argument === 'all' || known.has(argument.split('=')[0]));
}
