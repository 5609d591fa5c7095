import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { randomBytes } from '../../../support/images.ts';
import { startRegistry } from '../../../support/registry.ts';
import { destinationAt, exchanges, infoOf, openAccess, streamOf } from '../../../support/registry-transport.ts';

const MIB = 1024 * 1024;
const blob = randomBytes('large', 5 * MIB);

test('sends no PATCH before the source has given a byte: a connection that the server closes meanwhile costs nothing', async () => {
  await using registry = await startRegistry();
  await using access = openAccess({ policy: { retries: 0 } });
  await using destination = await destinationAt(access, registry, 'app:v1');
  const source = new Readable({ read: () => undefined });
  const put = destination.putBlobWithOptions(source, infoOf(blob), {});
  await registry.until(() => registry.requests[0]?.outcome === 'complete');
  registry.closeIdleConnections();
  assert.equal(registry.count({ method: 'PATCH' }), 0);
  source.push(blob);
  source.push(null);
  await put;
  assert.equal(exchanges(registry), 'POST 202, PATCH 202, PUT 201');
});

test('cancels an upload at its newest Location, and asks for it where that is out of date', async () => {
  await using registry = await startRegistry({ locations: 'with-query' });
  await using access = openAccess({ policy: { retries: 0 } });
  await using destination = await destinationAt(access, registry, 'app:v1');
  registry.behave({ match: { method: 'PATCH' }, resetAfterRequestBytes: 2 * MIB });
  // As distribution 3 does, since the cut request has moved the upload on.
  registry.behave({ match: { method: 'DELETE', path: /\.0$/ }, status: 416 });
  await assert.rejects(destination.putBlobWithOptions(streamOf(blob), infoOf(blob), {}));
  assert.equal(exchanges(registry), 'POST 202, PATCH aborted, DELETE 416, GET 204, DELETE 204');
  assert.equal(registry.sessions.length, 0);
});

test('gives up at once where the answer to a PATCH names an unusable Location', async () => {
  for (const location of ['', 'ftp://storage.test/1']) {
    await using registry = await startRegistry();
    await using access = openAccess();
    await using destination = await destinationAt(access, registry, 'app:v1');
    registry.behave({ match: { method: 'PATCH' }, headers: { location } });
    const put = destination.putBlobWithOptions(streamOf(blob), infoOf(blob), {});
    await assert.rejects(put, { code: 'ERR_UPLOAD_LOCATION', side: 'destination' });
    assert.equal(exchanges(registry), 'POST 202, PATCH 202, DELETE 204');
  }
});
