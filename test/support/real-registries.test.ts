import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { realRegistries, startDistribution2, startDistribution3, startRealRegistry } from './real-registries.ts';

for (const { name, start } of realRegistries()) {
  test(`${name} takes a blob, gives it back, deletes it, and leaves nothing when it stops`, async (t) => {
    const registry = await start(t);
    const digest = `sha256:${hash('sha256', 'hello')}`;
    const session = await fetch(`${registry.url}/v2/app/blobs/uploads/`, { method: 'POST' });
    assert.equal(session.status, 202);
    const location = new URL(session.headers.get('location') ?? '', registry.url);
    location.searchParams.set('digest', digest);
    const closing = await fetch(location, { method: 'PUT', body: 'hello' });
    assert.equal(closing.status, 201);

    const blob = `${registry.url}/v2/app/blobs/${digest}`;
    assert.equal(await (await fetch(blob)).text(), 'hello');
    assert.equal((await fetch(blob, { method: 'DELETE' })).status, 202);

    await registry.stop();
    await assert.rejects(fetch(blob));
    assert.ok(!existsSync(registry.logFile));
  });
}

test('distribution 2.8 says its version', async (t) => {
  const registry = await startDistribution2(t);
  if (registry === undefined) return;
  assert.match(registry.version, /^2\.8\./);
});

test('distribution 3 says its version', async (t) => {
  const registry = await startDistribution3(t);
  if (registry === undefined) return;
  assert.match(registry.version, /^3\./);
});

test('a program that does not serve is an error, with the status that it ended with', async () => {
  await assert.rejects(startRealRegistry('false'), { message: /^false does not serve/ });
});

test('a missing registry skips the test, or fails it where real ones are required', async (t) => {
  const empty = await mkdtemp(join(tmpdir(), 'imgcopy-no-tools-'));
  const { HOME, IMGCOPY_REQUIRE_REAL, PATH } = process.env;
  t.after(async () => {
    restore({ HOME, IMGCOPY_REQUIRE_REAL, PATH });
    await rm(empty, { recursive: true });
  });
  Object.assign(process.env, { HOME: empty, PATH: empty });

  process.env['IMGCOPY_REQUIRE_REAL'] = '1';
  assert.throws(realRegistries, { message: /docker-registry is required/ });
  delete process.env['IMGCOPY_REQUIRE_REAL'];
  assert.deepEqual(realRegistries(), []);
});

function restore(variables: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
