import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { noCache } from '../../src/cache/no-cache.ts';
import { copyBlob } from '../../src/copy/copy-blob.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import type { BlobInfoCache } from '../../src/contract/blob-info-cache.ts';
import { BlobAttemptError } from '../../src/contract/errors.ts';
import type { ImageDestination } from '../../src/contract/image-destination.ts';
import { fakeRun, layerOf, type FakeRun } from '../support/fakes.ts';
import { randomBytes } from '../support/images.ts';

const content = randomBytes('content', 3000);
const bytes = gzipSync(content);
const substitutable = { manifestMediaType: 'application/vnd.oci.image.manifest.v1+json' };
const layer = layerOf(bytes, { substitutable });
const { digest } = layer.info;
const diffId = digestOf(content);

/** A cache that notes what it is told of compressions, and knows the content of some blobs already. */
function learningCache(known: readonly string[] = []): { readonly cache: BlobInfoCache; readonly learnt: string[] } {
  const learnt: string[] = [];
  const cache: BlobInfoCache = {
    ...noCache(),
    uncompressedDigest: (blob) => (known.includes(blob) ? diffId : undefined),
    recordDigestUncompressedPair: (blob, uncompressed) => void learnt.push(`${blob} holds ${uncompressed}`),
    recordCompressor: (blob, algorithm) => void learnt.push(`${blob} is ${algorithm}`),
  };
  return { cache, learnt };
}

function learning(cache: BlobInfoCache, putBlobWithOptions?: ImageDestination['putBlobWithOptions']): FakeRun {
  return fakeRun({
    blobs: [bytes],
    run: { cache },
    destination: {
      putBlobPartial: async () => ({ digest, size: bytes.length, bytesReused: 10 }),
      ...(putBlobWithOptions && { putBlobWithOptions }),
    },
  });
}

test('learns the content of a layer that may be substituted, which has to pass whole for that', async () => {
  const { cache, learnt } = learningCache();
  const { run, calls, stored } = learning(cache);
  const copied = await copyBlob(run, layer);
  assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'getBlob', 'putBlobWithOptions']);
  assert.deepEqual(learnt, [`${digest} holds ${diffId}`, `${digest} is gzip`, `${diffId} is uncompressed`]);
  assert.deepEqual(stored.get(digest), bytes);
  assert.equal(copied.bytesFetched, bytes.length);
});

test('does not learn what it knows, nor what may not be substituted', async () => {
  for (const [known, blob] of [
    [[digest], layer],
    [[], { ...layer, substitutable: undefined }],
  ] as const) {
    const { cache, learnt } = learningCache(known);
    const { run, calls } = learning(cache);
    assert.equal((await copyBlob(run, blob)).outcome, 'partial');
    assert.deepEqual(calls, ['tryReusingBlobWithOptions', 'putBlobPartial']);
    assert.deepEqual(learnt, []);
  }
});

test('records nothing of a layer that was not verified in the end (behaviour 69)', async () => {
  const { cache, learnt } = learningCache();
  const { run } = learning(cache, async (stream) => {
    await stream.toArray();
    throw new ImgcopyError('content does not match its digest', { code: 'ERR_CONTENT_MISMATCH', kind: 'integrity' });
  });
  await assert.rejects(copyBlob(run, layer), { kind: 'integrity' });
  assert.deepEqual(learnt, []);
});

test('records a layer once, by the attempt that succeeded', async () => {
  const { cache, learnt } = learningCache();
  let attempts = 0;
  const { run } = learning(cache, async (stream) => {
    attempts += 1;
    await stream.toArray();
    if (attempts === 1) throw new BlobAttemptError(new Error('the answer was lost'));
    return { digest, size: bytes.length };
  });
  await copyBlob(run, layer);
  assert.equal(learnt.length, 3);
});
