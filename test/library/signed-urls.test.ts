import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier } from './test-copier.ts';

const MiB = 1024 * 1024;
/** Characters that a URL object would escape, drop or decode. */
const signature = `X-Signature='a"b<c>{d}|e^f\`g%2f%zz[h]\\i`;
const image = buildImage({ layers: [randomBytes('small', 2000), randomBytes('large', 20 * MiB)] });

for (const locations of ['relative', 'absolute', 'with-query', 'other-origin'] as const) {
  test(`sends signed redirects and upload Locations (${locations}) byte for byte as they came`, async (t) => {
    await using from = await startRegistry({ redirectBlobs: true, signature });
    await using to = await startRegistry({ locations, signature });
    await using copier = new TestCopier(await openHome(t));
    from.seed('app', 'v1', image);
    await copier.copy(at(from, 'app:v1'), at(to, 'copy:v1'));
    assert.equal(to.manifest('copy', 'v1')?.digest, image.manifest.digest);
    const stored = from.requests.filter(({ server }) => server === 'storage');
    assert.ok(stored.length > 0 && stored.every(({ path }) => path.endsWith(`&${signature}`)));
    assert.deepEqual(to.sessions, []);
  });
}
