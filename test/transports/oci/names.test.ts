import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildImage, tarGzLayer } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { listedIn, listing } from './layout-directory.ts';

const [nginx, redis] = ['nginx', 'redis'].map((name) => buildImage({ layers: [tarGzLayer({ [name]: name })] }));

test('a name that was not given, and moves from another image, is told with what the other is found by', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await using registry = await startRegistry();
  registry.seed('nginx', 'latest', nginx!);
  registry.seed('redis', 'latest', redis!);
  await using copier = new TestCopier(home);
  await copier.copy(at(registry, 'nginx'), `oci:${lay}`);
  await copier.copy(at(registry, 'nginx'), `oci:${lay}`);
  assert.deepEqual(copier.warnings, []);
  await copier.copy(at(registry, 'redis'), `oci:${lay}`);
  assert.deepEqual(copier.warnings, [
    `oci:${lay}:latest was another image, which is now oci:${lay}@${nginx!.manifest.digest}; to keep several, name them: oci:${lay}:NAME`,
  ]);
  await copier.copy(at(registry, 'nginx'), `oci:${lay}:latest`);
  assert.equal(copier.warnings.length, 1, 'a name that was given is meant');
});

test('-n does not take a name that another copy gave meanwhile', async (t) => {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await using registry = await startRegistry();
  registry.seed('nginx', 'latest', nginx!);
  registry.seed('redis', 'latest', redis!);
  await using copier = new TestCopier(home);
  registry.behave({
    match: { method: 'GET', path: /redis\/blobs/, times: 1 },
    call: async () => void (await copier.copy(at(registry, 'nginx'), `oci:${lay}:v1`)),
  });
  const copying = copier.copy(at(registry, 'redis'), `oci:${lay}:v1`, { noClobber: true });
  await assert.rejects(copying, { code: 'ERR_DESTINATION_CHANGED', hint: 'run the command again' });
  assert.deepEqual(await listedIn(lay), listing(['v1', nginx!]));
});
