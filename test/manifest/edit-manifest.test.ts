import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../src/digest/digest.ts';
import {
  inlineIndexes,
  type Replacement,
  replaceInstances,
  replaceLayers,
  subsetIndex,
} from '../../src/manifest/edit-manifest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import {
  artifactManifest,
  buildkitIndex,
  chunkedImage,
  descriptor,
  digest,
  dockerImage,
  dockerList,
  json,
  schema1,
  windowsImage,
} from './samples.ts';

const amd64 = digest('amd64');
const zstdApp: Replacement = { mediaType: MediaType.ociLayerZstd, digest: digest('zstd app'), size: 99 };

for (const indent of [undefined, 2, 3, 4, '\t']) {
  for (const end of ['', '\n', '\r\n']) {
    test(`keeps the layout of an index, indented by ${JSON.stringify(indent)} and ended by ${JSON.stringify(end)}`, () => {
      const bytes = Buffer.concat([json(buildkitIndex, indent), Buffer.from(end)]);
      const expected = { ...buildkitIndex, manifests: buildkitIndex.manifests.slice(0, 1) };
      assert.equal(
        subsetIndex(bytes, (entry) => entry.digest === amd64).toString(),
        json(expected, indent).toString() + end,
      );
    });
  }
}

test('keeps unknown fields of an index, and the order of all', () => {
  const text = `{"annotations":{"b":"1","a":"2"},"x-new":{"deep":[1,{"k":null}]},"manifests":[
    {"x-entry":true,"size":5,"digest":"${amd64}","mediaType":"${MediaType.ociManifest}"},
    {"mediaType":"${MediaType.ociManifest}","digest":"${digest('arm64')}","size":5}],"schemaVersion":2,"__proto__":{"a":1}}`;
  const edited = subsetIndex(Buffer.from(text), (entry) => entry.digest === amd64);
  assert.equal(
    edited.toString(),
    `{"annotations":{"b":"1","a":"2"},"x-new":{"deep":[1,{"k":null}]},"manifests":[` +
      `{"x-entry":true,"size":5,"digest":"${amd64}","mediaType":"${MediaType.ociManifest}"}` +
      `],"schemaVersion":2,"__proto__":{"a":1}}`,
  );
});

test('offers every entry of an index once, in order, platform included', () => {
  const offered: unknown[] = [];
  subsetIndex(json(dockerList), (entry) => {
    offered.push([entry.digest, entry.platform?.os]);
    return true;
  });
  assert.deepEqual(offered, [
    [amd64, 'linux'],
    [digest('windows'), 'windows'],
  ]);
});

// Odd spacing and an escape that JSON.stringify would not write.
const oddIndex = Buffer.from(JSON.stringify(buildkitIndex, null, 1).replace('"linux"', '"\\u006cinux"'));
const oddImage = Buffer.from(JSON.stringify(chunkedImage, null, 1).replace('"app"', '"\\u0061pp"'));

test('hands back the very bytes where nothing changes (behaviour 30)', () => {
  assert.equal(
    subsetIndex(oddIndex, () => true),
    oddIndex,
  );
  assert.equal(replaceInstances(oddIndex, new Map()), oddIndex);
  assert.equal(replaceInstances(oddIndex, new Map([[digest('elsewhere'), zstdApp]])), oddIndex);
  assert.equal(replaceLayers(oddImage, new Map()), oddImage);
  assert.equal(replaceLayers(oddImage, new Map([[chunkedImage.config.digest, zstdApp]])), oddImage);
});

test('does not change the bytes that it is given', () => {
  const bytes = Buffer.from(oddImage);
  replaceLayers(bytes, new Map([[digest('app'), zstdApp]]));
  assert.deepEqual(bytes, oddImage);
});

test('refuses to leave nothing of an index (behaviour 29)', () => {
  assert.throws(() => subsetIndex(json(buildkitIndex), () => false), /cannot be left without entries/);
});

test('writes a substituted layer: digest, size and media type together (behaviour 26)', () => {
  const edited: unknown = JSON.parse(replaceLayers(json(chunkedImage), new Map([[digest('app'), zstdApp]])).toString());
  assert.deepEqual(edited, {
    ...chunkedImage,
    layers: [chunkedImage.layers[0], { ...zstdApp, annotations: { 'org.example.step': 'app' } }],
  });
});

test('takes the table of contents out of a substituted layer, and annotations that are left empty (behaviour 27)', () => {
  const base: Replacement = { mediaType: MediaType.ociLayerGzip, digest: digest('gzip base'), size: 5 };
  const edited = replaceLayers(json(chunkedImage), new Map([[digest('base'), base]]));
  assert.deepEqual(JSON.parse(edited.toString()), { ...chunkedImage, layers: [base, chunkedImage.layers[1]] });
});

test('takes the annotations of old zstd:chunked out of a substituted layer', () => {
  const [layer] = chunkedImage.layers;
  const old = { ...layer, annotations: { 'io.containers.zstd-chunked.manifest-position': '1:2:3:1', other: 'kept' } };
  const edited = replaceLayers(json({ ...chunkedImage, layers: [old] }), new Map([[digest('base'), zstdApp]]));
  assert.deepEqual(JSON.parse(edited.toString()).layers, [{ ...zstdApp, annotations: { other: 'kept' } }]);
});

test('clears URLs and inline data of a substituted layer, and of that alone (behaviour 27)', () => {
  const [foreign, app] = windowsImage.layers;
  const image = { ...windowsImage, layers: [foreign, { ...app, urls: ['https://h.io/app'], data: 'YXBw' }] };
  const replacement: Replacement = { mediaType: MediaType.dockerLayerGzip, digest: digest('new'), size: 5 };
  const edited = replaceLayers(json(image), new Map([[digest('app'), replacement]]));
  assert.deepEqual(JSON.parse(edited.toString()).layers, [foreign, replacement]);
});

test('substitutes a layer wherever it comes, and keeps the order (behaviour 33)', () => {
  const replacement: Replacement = { mediaType: MediaType.dockerLayer, digest: digest('tar base'), size: 7 };
  const edited = replaceLayers(json(dockerImage, 3), new Map([[digest('base'), replacement]]));
  const [, app] = dockerImage.layers;
  assert.equal(edited.toString(), json({ ...dockerImage, layers: [replacement, app, replacement] }, 3).toString());
});

test('writes a substituted instance into its index, platform and annotations kept', () => {
  const replacement: Replacement = { mediaType: MediaType.ociManifest, digest: digest('new amd64'), size: 1300 };
  const edited = replaceInstances(json(buildkitIndex, 2), new Map([[amd64, replacement]]));
  const [first, ...others] = buildkitIndex.manifests;
  assert.equal(
    edited.toString(),
    json({ ...buildkitIndex, manifests: [{ ...first, ...replacement }, ...others] }, 2).toString(),
  );
});

test('edits only what it is made for', () => {
  const none: ReadonlyMap<Digest, Replacement> = new Map();
  assert.throws(() => subsetIndex(json(dockerImage), () => true), /is no index/);
  assert.throws(() => replaceInstances(json(dockerImage), none), /is no index/);
  for (const document of [schema1, buildkitIndex, artifactManifest]) {
    assert.throws(() => replaceLayers(json(document), none), /cannot be replaced/);
  }
});

test('puts the entries of an index in its place, with its platform where they name none', () => {
  const inner = {
    schemaVersion: 2,
    manifests: [
      { ...descriptor(MediaType.ociManifest, 'one'), 'x-entry': 1 },
      { ...descriptor(MediaType.ociManifest, 'two'), platform: { os: 'linux', architecture: 'arm64' } },
    ],
  };
  const platform = { os: 'linux', architecture: 'amd64' };
  const entry = { ...descriptor(MediaType.ociIndex, 'inner'), platform };
  const outer = { ...dockerList, manifests: [descriptor(MediaType.ociIndex, 'gone'), entry, ...dockerList.manifests] };
  const inlined = inlineIndexes(json(outer, 2), new Map([[digest('inner'), json(inner)]]));
  const [gone, ...others] = outer.manifests;
  const expected = [gone, { ...inner.manifests[0], platform }, inner.manifests[1], ...others.slice(1)];
  assert.equal(inlined.toString(), json({ ...outer, manifests: expected }, 2).toString());
});

test('keeps the bytes of an index that has no index in it', () => {
  const bytes = json(buildkitIndex, 1);
  assert.equal(inlineIndexes(bytes, new Map()), bytes);
});

test('refuses an index that its indexes make too large', () => {
  const inner = json({ schemaVersion: 2, manifests: [], annotations: { a: 'x'.repeat(1024 * 1024) } });
  const entry = descriptor(MediaType.ociIndex, 'inner');
  const outer = json({ schemaVersion: 2, manifests: Array.from({ length: 4 }, () => entry) });
  assert.throws(() => inlineIndexes(outer, new Map([[digest('inner'), inner]])), {
    code: 'ERR_INVALID_MANIFEST',
    message: /with the indexes in it, it has 41\d{5} bytes, more than 4194304/,
  });
});
