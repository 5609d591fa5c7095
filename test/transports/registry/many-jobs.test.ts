import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/digest/digest.ts';
import { buildImage } from '../../support/images.ts';
import { startRegistry } from '../../support/registry.ts';
import { clientOf, openAccess } from '../../support/registry-transport.ts';

test(
  'each of many jobs has two connections to a registry, to read from and to write to',
  { timeout: 20_000 },
  async () => {
    const jobs = 100;
    // Longer than what the gates count.
    const layer = Buffer.alloc(4 * 1024 * 1024 + 1);
    await using registry = await startRegistry();
    await using access = openAccess({ jobs });
    registry.seed('app', 'v1', buildImage({ layers: [layer] }));
    const client = await clientOf(access, registry, 'app');
    const blobs = { method: 'GET', path: /\/blobs\// };
    registry.behave({ match: blobs, stallAfterBytes: 1 });
    const answers = Array.from({ length: 2 * jobs }, () => client.getBlob(digestOf(layer)));
    const responses = await Promise.all(answers);
    assert.equal(registry.peak(blobs), 2 * jobs);
    for (const { body } of responses) body.on('error', () => undefined).destroy();
  },
);
