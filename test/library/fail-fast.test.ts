import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import type { CopierOptions } from '../../src/index.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });

/** `host:port` where nobody listens. */
async function closedPort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' ? `127.0.0.1:${address?.port}` : '';
}

/** How often a copy was about to try again before it failed. */
async function retriesOf(home: TestHome, from: string, to: string, options: CopierOptions = {}): Promise<number> {
  await using copier = new TestCopier(home, options);
  await assert.rejects(copier.copy(from, to), { code: /ERR_CONNECTION_REFUSED|ERR_NAME_NOT_RESOLVED/ });
  return copier.events.filter(({ type }) => type === 'retry').length;
}

test('a host where nobody listens is reported after one retry, whichever side it is', async (t) => {
  const home = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const nobody = `docker://${await closedPort()}/app:v1`;
  assert.equal(await retriesOf(home, at(registry, 'app:v1'), nobody), 1);
  assert.equal(await retriesOf(home, nobody, `dir:${home.path}/image`), 1);
});

test('retryTimes is obeyed where it is given', async (t) => {
  const home = await openHome(t);
  const nobody = `docker://${await closedPort()}/app:v1`;
  assert.equal(await retriesOf(home, nobody, `dir:${home.path}/image`, { retryTimes: 3 }), 3);
  assert.equal(await retriesOf(home, nobody, `dir:${home.path}/image`, { retryTimes: 0 }), 0);
});

test('a host that has answered gets all retries', async (t) => {
  const home = await openHome(t);
  const registry = await startRegistry();
  registry.seed('app', 'v1', image);
  const source = at(registry, 'app:v1');
  await using copier = new TestCopier(home);
  await copier.copy(source, `dir:${home.path}/one`);
  await registry.close();
  await assert.rejects(copier.copy(source, `dir:${home.path}/two`));
  assert.equal(copier.events.filter(({ type }) => type === 'retry').length, 5);
});
