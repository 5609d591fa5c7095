import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../../src/digest/digest.ts';
import type { FixtureFormat } from '../support/fixture-images.ts';
import type { TestImage } from '../support/images.ts';
import { loadFixture, pushTestImage } from '../support/integration-images.ts';
import { requireTool } from '../support/real-tools.ts';
import { assertHoldsOnly, temporaryDirectory } from '../transports/dir/image-directory.ts';
import { CopyWatch } from './blob-outcomes.ts';
import { copyAfresh, copyBySkopeo, rawManifest, realKinds, referenceAt } from './real-ends.ts';

/** The part of v2's app layer that may come from the source: a little more than a perfect plan fetches (test/fixtures/images/README.md). */
const mostFetched: Readonly<Record<FixtureFormat, number>> = {
  zstdchunked: 0.4,
  'zstdchunked-old': 0.395,
  estargz: 0.61,
  gzip: 1,
};

for (const { name, start } of realKinds) {
  for (const format of Object.keys(mostFetched) as FixtureFormat[]) {
    for (const into of ['a registry', 'a directory']) {
      test(`${name}: of the next version in ${format}, only what is new comes to ${into}`, async (t) => {
        const skopeo = requireTool(t, 'skopeo');
        const [source, destination] = [await start(t), await start(t)];
        if (skopeo === undefined || source === undefined || destination === undefined) return;
        const folder = await temporaryDirectory(t);
        const target = into === 'a registry' ? referenceAt(destination, 'app:latest') : `dir:${join(folder, 'app')}`;
        const [v1, v2] = [await loadFixture(format, 'v1'), await loadFixture(format, 'v2')];
        await pushTestImage({ url: source.url, name: 'app' }, '1', v1);
        await pushTestImage({ url: source.url, name: 'app' }, '2', v2);
        const [config, base, app] = blobsOf(v2);

        const first = new CopyWatch();
        await copyAfresh(referenceAt(source, 'app:1'), target, folder, first.options);
        assert.deepEqual(first.outcomes, { copied: 3 });

        const second = new CopyWatch();
        await copyAfresh(referenceAt(source, 'app:2'), target, folder, second.options);
        const outcomes = [config, base, app].map((digest) => second.done.get(digest)?.outcome);
        assert.deepEqual(outcomes, ['copied', 'reused', format === 'gzip' ? 'copied' : 'partial']);
        const { size = 0, bytesFetched = 0, bytesReused = 0 } = second.done.get(app) ?? {};
        assert.ok(bytesFetched <= mostFetched[format] * size, `${bytesFetched} of ${size} bytes were fetched`);
        assert.ok(bytesFetched + bytesReused >= size);
        assert.ok(second.sourceRequestsFor(app) <= 3, `${second.sourceRequestsFor(app)} requests for the layer`);

        assert.equal((await rawManifest(skopeo, target)).text, v2.manifest.bytes.toString());
        const readBack = join(folder, 'read back');
        await copyBySkopeo(skopeo, target, `dir:${readBack}`);
        await assertHoldsOnly(readBack, v2);
        if (into === 'a directory') await assertHoldsOnly(join(folder, 'app'), v2);
      });
    }
  }
}

/** The digests of config, base and app. */
function blobsOf({ manifest }: TestImage): readonly [Digest, Digest, Digest] {
  const { config, layers } = JSON.parse(manifest.bytes.toString()) as {
    readonly config: { readonly digest: Digest };
    readonly layers: readonly [{ readonly digest: Digest }, { readonly digest: Digest }];
  };
  return [config.digest, layers[0].digest, layers[1].digest];
}
