import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/program.ts';
import { verbFirst } from '../../src/cli/verb-first.ts';
import { ImgcopyError } from '../../src/index.ts';

const program = createProgram(new AbortController().signal);

const cases: readonly (readonly [typed: string, ordered: string])[] = [
  ['a b --debug', 'a b --debug'],
  ['copy a b', 'copy a b'],
  ['--debug copy a b', 'copy --debug a b'],
  ['--command-timeout 5m cp a b', 'cp --command-timeout 5m a b'],
  ['--command-timeout=5m --authfile tags tags a', 'tags --command-timeout=5m --authfile tags a'],
  ['-j 3 a b', '-j 3 a b'],
  ['-j 3 a tags', '-j 3 a tags'],
  ['-- tags a', '-- tags a'],
  ['--help inspect', 'inspect --help'],
  ['help tags', 'help tags'],
  ['docker://tags b', 'docker://tags b'],
  ['inspect --src-creds u:p a', 'inspect --creds u:p a'],
  ['copy --src-creds u:p a b', 'copy --src-creds u:p a b'],
];

for (const [typed, ordered] of cases) {
  test(`${typed} becomes ${ordered}`, () => {
    assert.deepEqual(verbFirst(typed.split(' '), program), ordered.split(' '));
  });
}

for (const verb of ['pull', 'push', 'sync', 'delete', 'manifest']) {
  test(`${verb}, a command of other tools, is not taken for an image`, () => {
    assert.throws(
      () => verbFirst(['--debug', verb, 'a'], program),
      (error) => error instanceof ImgcopyError && error.kind === 'usage' && error.message.includes(verb),
    );
    assert.deepEqual(verbFirst(['copy', verb, 'a'], program), ['copy', verb, 'a']);
  });
}
