import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { HttpRequest } from '../../../src/http/index.ts';
import { hasten } from '../../../src/transports/registry/hasten.ts';

test('where there is another address to ask, one is asked once, and waited for ten seconds without a byte', async () => {
  const sent: HttpRequest[] = [];
  const send = hasten((request) => {
    sent.push(request);
    return Promise.resolve({ status: 200, headers: {}, body: Readable.from([]), url: request.url });
  });
  await send({ method: 'GET', url: new URL('https://mirror.test/v2/'), side: 'source', retries: 5 });
  const [{ retries, mayWait, idleTimeoutMs } = assert.fail()] = sent;
  assert.deepEqual({ retries, mayWait, idleTimeoutMs }, { retries: 0, mayWait: false, idleTimeoutMs: 10_000 });
});
