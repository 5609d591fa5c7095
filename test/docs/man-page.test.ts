import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { manPage } from '../../scripts/man-page.ts';
import { createProgram } from '../../src/cli/program.ts';
import { requireTool, runTool } from '../support/real-tools.ts';

const root = new URL('../../', import.meta.url);
const file = fileURLToPath(new URL('man/imgcopy.1', root));
const program = createProgram(new AbortController().signal);

test('the man page in the package is the one made from the command line, and says which release it is for', async () => {
  const { man, files, version } = JSON.parse(await readFile(new URL('package.json', root), 'utf8')) as {
    man: string[];
    files: string[];
    version: string;
  };
  // npm 11 links no man page where this is a string.
  assert.deepEqual(man, ['man/imgcopy.1']);
  assert.ok(files.includes('man'));
  const changelog = await readFile(new URL('CHANGELOG.md', root), 'utf8');
  const page = await readFile(file, 'utf8');
  assert.ok(page === manPage(program, changelog), 'npm run docs writes it');
  const title = page.split('\n').find((line) => line.startsWith('.TH '));
  assert.match(title ?? '', new RegExp(`^\\.TH IMGCOPY 1 \\d{4}-\\d\\d-\\d\\d "imgcopy ${version}"`));
});

test('man shows every command and every option, without a warning', async (t) => {
  const man = requireTool(t, 'man');
  if (man === undefined) return;
  const env = { MANWIDTH: '120', MANROFFOPT: '', MANOPT: '--no-hyphenation --no-justification', LC_ALL: 'C.UTF-8' };
  const { stdout, stderr } = await runTool(man, ['--warnings', '--local-file', file], { env });
  assert.equal(stderr, '');
  for (const command of program.commands) {
    if (command.name() === 'help') continue;
    assert.match(stdout, new RegExp(`^ +imgcopy \\[?${command.name()}\\b`, 'm'));
    for (const { long, short } of command.options)
      for (const name of [long, short])
        if (name) assert.match(stdout, new RegExp(`(?<![\\w-])${name}(?![\\w-])`), name);
  }
  for (const heading of ['NAME', 'SYNOPSIS', 'REFERENCES', 'OUTPUT', 'EXIT STATUSES'])
    assert.match(stdout, new RegExp(`^${heading}$`, 'm'));
});

test('mandoc has nothing to say about the man page', async (t) => {
  const mandoc = requireTool(t, 'mandoc');
  if (mandoc === undefined) return;
  const { stdout } = await runTool(mandoc, ['-T', 'lint', '-W', 'style', file]);
  assert.equal(stdout, '');
});
