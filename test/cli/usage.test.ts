import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';

let home: CliHome;

before(async () => {
  home = await createCliHome();
});

after(async () => {
  await home[Symbol.asyncDispose]();
});

const wrong: readonly (readonly [typed: string, message: RegExp])[] = [
  ['a', /missing required argument 'dst'/],
  ['a b c', /too many arguments/],
  ['--nope a b', /unknown option '--nope'/],
  ['--jbs 3 a b', /did you mean --jobs\?/],
  ['--jobs 0 a b', /'0' is invalid. Expected a whole number of at least 1/],
  ['--timeout soon a b', /'soon' is invalid. Expected a duration such as/],
  ['--partial perhaps a b', /Allowed choices are auto, always, never/],
  ['--platform linux a b', /invalid platform "linux"/],
  ['--all --platform linux/amd64 a b', /cannot be used with/],
  ['--creds :secret dir:a dir:b', /without a user name/],
  ['--password secret dir:a dir:b', /a password was given without a user name/],
  ['--multi-arch index-only a b', /--multi-arch index-only is not supported/],
  ['dir:/x dir:/x', /the same place/],
  ['sync a b', /unknown command: sync/],
  ['inspct a/b:1', /unknown command: inspct\n.*did you mean imgcopy inspect\?.*docker:\/\/inspct/],
  ['config a/b:1', /unknown command: config\n.*docker:\/\/config/],
  ['alpine small-out', /small-out as the destination means docker\.io\/library\/small-out[^]*dir:\.\/small-out/],
  ['dir:a small-out:v1', /small-out:v1 as the destination[^]*dir:\.\/small-out /],
  ['dir:a localhost:5000', /hint: write dir:.* or HOST\/localhost/],
  ['tags', /missing required argument 'repository'[^]*imgcopy help tags/],
  ['cache sweep', /Allowed choices are path, stats, clear/],
];

describe('wrong usage', { concurrency: 4 }, () => {
  for (const [typed, message] of wrong) {
    test(`imgcopy ${typed} ends with status 2 and says what is wrong`, async () => {
      const { status, stdout, stderr } = await home.run(typed.split(' '));
      assert.deepEqual([status, stdout], [2, '']);
      assert.match(stderr, /^imgcopy: [^\n]+\n(?: {2}[^\n]+\n)*$/);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /secret/);
    });
  }

  test('imgcopy alone explains itself, on standard error', async () => {
    const { status, stdout, stderr } = await home.run([]);
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^Usage: imgcopy /);
  });

  for (const args of [['--help'], ['help'], ['help', 'tags'], ['tags', '--help'], ['--version']]) {
    test(`imgcopy ${args.join(' ')} is an answer, on standard output`, async () => {
      const { status, stdout, stderr } = await home.run(args);
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, args[0] === '--version' ? /^\d+\.\d+\.\d+\n$/ : /^Usage: imgcopy /);
    });
  }
});
