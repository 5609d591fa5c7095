import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCache } from '../../src/cache/no-cache.ts';
import { digestNamed } from './scratch.ts';

test('no cache knows nothing and keeps nothing', () => {
  const layer = digestNamed('layer');
  using cache = noCache();
  cache.recordKnownLocation(layer, { registry: 'registry.test', repository: 'app' });
  cache.recordDigestUncompressedPair(layer, digestNamed('tar'));
  cache.recordHostAbility('registry.test', 'ranges', 1);
  assert.deepEqual(cache.candidateLocations2('registry.test', layer, { canSubstitute: true }), []);
  assert.equal(cache.uncompressedDigest(layer), undefined);
  assert.equal(cache.hostAbility('registry.test', 'ranges'), undefined);
});
