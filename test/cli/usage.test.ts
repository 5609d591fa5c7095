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
  ['a', /missing argument dst\n.*write imgcopy SRC DST/],
  ['a b b', /two destinations|cannot be pushed to/],
  ['--nope a b', /unknown option '--nope'/],
  ['--jbs 3 a b', /did you mean --jobs\?/],
  ['--jobs 0 a b', /invalid --jobs "0": expected a whole number of at least 1\n/],
  ['--timeout soon a b', /invalid --timeout "soon": expected a duration such as/],
  ['--partial perhaps a b', /invalid --partial "perhaps": expected auto, always or never\n/],
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
  ['tags', /missing argument repository\n.*write imgcopy tags REPOSITORY; see imgcopy help tags/],
  ['cache sweep', /invalid action "sweep": expected path, stats, clear or compile\n/],
  ['a b --jobs', /--jobs has no value: expected --jobs <n>/],
  ['help nosuch', /unknown command: nosuch\n {2}hint: imgcopy --help lists the commands /],
  ['help inspct', /unknown command: inspct\n {2}hint: did you mean imgcopy help inspect\?/],
  ['inspect a --format {{.Digest}}', /--format is not supported\n.*imgcopy inspect --json REF/],
  ['digest a --format=x', /--format is not supported\n.*one plain value a line/],
  ['--to-oci-layout a:1 b:1', /--to-oci-layout is not supported\n.*write the layout as oci:PATH:TAG/],
  ['a b --from-cert-file=c.pem', /--from-cert-file is not supported\n.*--cert-dir/],
  ['digest a --full-ref', /--full-ref is not supported\n.*NAME@\$\(imgcopy digest NAME\)/],
  ['discover a:1', /did you mean imgcopy referrers\?/],
  ['a b --format oci', /--format is not supported\n.*--output/],
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

  test('an invalid variable is named in the place of its option', async () => {
    const { status, stderr } = await home.run(['a', 'b'], { env: { IMGCOPY_JOBS: 'many' } });
    assert.equal(status, 2);
    assert.match(stderr, /^imgcopy: invalid IMGCOPY_JOBS "many": expected a whole number\n/);
  });

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
