import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCliHome } from '../support/imgcopy-command.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';

test('the cache can be found, counted and cleared', async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.seed('app', '1', buildImage({ layers: { count: 2, size: 1000 } }));
  const path = join(home.path, '.cache/imgcopy/blob-info-cache-v1.sqlite');
  assert.equal((await home.run(['cache', 'path'])).stdout, `${path}\n`);

  await home.run(['-q', `${registry.host}/app:1`, `dir:${join(home.path, 'image')}`]);
  const stats = JSON.parse((await home.run(['cache', 'stats', '--json'])).stdout) as {
    path: string;
    locations: number;
  };
  assert.equal(stats.path, path);
  assert.ok(stats.locations > 0);
  assert.match((await home.run(['cache', 'stats'])).stdout, /^known blob locations {2,}\d+$/m);

  assert.equal((await home.run(['cache', 'clear'])).stderr, `removed ${path}\n`);
  await assert.rejects(stat(path), { code: 'ENOENT' });
});
