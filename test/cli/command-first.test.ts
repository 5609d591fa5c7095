import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/program.ts';
import { verbFirst } from '../../src/cli/command-first.ts';
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

const mistyped: readonly (readonly [typed: string, hint: RegExp])[] = [
  ['inspct', /did you mean imgcopy inspect\?.*docker:\/\/inspct/],
  ['inpsect', /did you mean imgcopy inspect\?/],
  ['inspectt', /did you mean imgcopy inspect\?/],
  ['tgas', /did you mean imgcopy tags\?/],
  ['tag', /did you mean imgcopy tags\?/],
  ['copi', /did you mean imgcopy copy\?/],
  ['ccopy', /did you mean imgcopy copy\?/],
  ['dijest', /did you mean imgcopy digest\?/],
  ['list-tag', /did you mean imgcopy list-tags\?/],
  ['hlep', /did you mean imgcopy help\?/],
  ['Login', /did you mean imgcopy login\?/],
  ['config', /did you mean imgcopy inspect\?.*docker:\/\/config/],
  ['manifest', /did you mean imgcopy inspect --raw\?/],
  ['discover', /did you mean imgcopy referrers\?/],
  ['save', /did you mean imgcopy SRC docker-archive:FILE\?/],
  ['pull', /did you mean imgcopy SRC dir:PATH\?/],
  ['push', /docker:\/\/push/],
  ['sync', /did you mean imgcopy --all-tags SRC DST\? To copy.*docker:\/\/sync/],
  ['repo', /imgcopy --help/],
  ['standalone-sign', /imgcopy --help/],
  ['buildx', /imgcopy --help/],
  ['delete', /imgcopy --help/],
];

for (const [word, hint] of mistyped) {
  test(`${word} is not taken for an image, for it was probably meant as a command`, () => {
    assert.throws(
      () => verbFirst(['--debug', word, 'a'], program),
      (error) => {
        assert.ok(error instanceof ImgcopyError && error.kind === 'usage');
        assert.equal(error.message, `unknown command: ${word}`);
        assert.match(error.hint ?? '', hint);
        return true;
      },
    );
    for (const image of [
      ['copy', word, 'a'],
      [`docker://${word}`, 'a'],
      [`${word}:1`, 'a'],
    ])
      assert.deepEqual(verbFirst(image, program), image);
  });
}

for (const image of ['registry', 'node', 'docker', 'python', 'swarm', 'alpine', 'httpd', 'caddy', 'composer', 'll'])
  test(`${image} is an image`, () => {
    assert.deepEqual(verbFirst([image, 'a/b'], program), [image, 'a/b']);
  });
