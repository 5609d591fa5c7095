import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { withForeignLayer } from '../support/layer-fields.ts';
import { startRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, realKinds, referenceAt } from './real-ends.ts';

const image = withForeignLayer(buildImage({ layers: { count: 2, size: 10_000 } }), ['https://foreign.test/layer']);

for (const { name, start } of realKinds) {
  test(`the error says that ${name} does not accept foreign URLs, and no retry is made`, async (t) => {
    const registry = await start(t);
    if (registry === undefined) return;
    await using from = await startRegistry();
    const folder = await temporaryDirectory(t);
    from.seed('app', '1', image);
    const puts: number[] = [];
    const copy = copyAfresh(referenceAt(from, 'app:1'), referenceAt(registry, 'app:1'), folder, {
      onRequest: ({ method, url }, outcome) => {
        if (method === 'PUT' && url.pathname.includes('/manifests/') && 'status' in outcome) puts.push(outcome.status);
      },
    });
    await assert.rejects(copy, {
      code: 'ERR_FOREIGN_URL_REFUSED',
      side: 'destination',
      hint: /validation\.manifests\.urls/,
    });
    assert.equal(puts.length, 1);
  });
}
