import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const old = buildImage({ layers: [randomBytes('old', 1000)] });

let home: CliHome;
let source: TestRegistry;

before(async () => {
  home = await createCliHome();
  source = await startRegistry();
  source.seed('app', '1', image);
});

after(async () => {
  await source.close();
  await home[Symbol.asyncDispose]();
});

describe('--no-clobber', { concurrency: 4 }, () => {
  for (const [answer, status] of [
    [400, 1],
    [401, 4],
    [403, 4],
    [429, 6],
    [503, 1],
  ] as const) {
    test(`ends with status ${status} and replaces nothing where the registry answers ${answer} to the look at the tag`, async () => {
      await using to = await startRegistry();
      to.seed('app', '1', old);
      to.behave({ match: { method: 'HEAD', path: /manifests/ }, status: answer });
      const run = await home.run(['-n', '--retry-times=0', `${source.host}/app:1`, `${to.host}/app:1`]);
      assert.deepEqual([run.status, run.stdout], [status, '']);
      assert.match(run.stderr, /^imgcopy: cannot tell whether docker:\S+\/app:1 exists, so nothing was written$/m);
      assert.match(run.stderr, new RegExp(`destination: HEAD .*: ${answer}`));
      assert.equal(to.manifest('app', '1')?.digest, old.manifest.digest);
    });
  }

  test('leaves a tag that exists, and says so', async () => {
    await using to = await startRegistry();
    to.seed('app', '1', old);
    const run = await home.run(['-n', `${source.host}/app:1`, `${to.host}/app:1`]);
    assert.deepEqual([run.status, run.stdout], [0, `docker://${to.host}/app@${old.manifest.digest}\n`]);
    assert.match(run.stderr, /already exists; left unchanged/);
  });
});

test('a tag for what the repository has is shown as that', async () => {
  await using to = await startRegistry();
  to.seed('app', '1', image);
  const { status, stderr } = await home.run([`${to.host}/app:1`, `${to.host}/app:2`]);
  assert.equal(status, 0);
  assert.match(stderr, /^docker:\S+\/app:2: only the tag was written; the repository already has the image \(.*\)$/m);
});
