import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MediaType } from '../../src/manifest/media-types.ts';
import { InvalidManifestError, parseManifest } from '../../src/manifest/parse-manifest.ts';
import { descriptor, digest, json, plainOciImage } from './samples.ts';

const app = descriptor(MediaType.ociLayerGzip, 'app');
const broken: readonly (readonly [string, unknown, RegExp])[] = [
  ['no object', [], /it should be an object, found a list/],
  ['null', null, /it should be an object, found null/],
  ['an error page', { errors: [{ code: 'DENIED' }] }, /it has no mediaType, and none of config/],
  [
    'no config',
    { ...plainOciImage, mediaType: MediaType.ociManifest, config: undefined },
    /config should be a descriptor/,
  ],
  ['a config that is a list', { ...plainOciImage, config: [] }, /config should be an object, found a list/],
  ['layers that are no list', { ...plainOciImage, layers: { length: 1 } }, /layers should be a list, found an object/],
  ['a layer that is no object', { ...plainOciImage, layers: ['x'] }, /layers\[0\] should be an object, found "x"/],
  ['an instance that is null', { manifests: [null] }, /manifests\[0\] should be an object, found null/],

  ['no digest', layer({ digest: undefined }), /layers\[0\]\.digest should be a string, found nothing/],
  [
    'a path for a digest',
    layer({ digest: '../../etc/passwd' }),
    /layers\[0\]\.digest should be a sha256 or sha512 digest/,
  ],
  ['a path in a digest', layer({ digest: `sha256:../${'a'.repeat(61)}` }), /layers\[0\]\.digest should be/],
  ['a digest in capitals', layer({ digest: `sha256:${'A'.repeat(64)}` }), /layers\[0\]\.digest should be/],
  ['a digest with a line end', layer({ digest: `${digest('app')}\n` }), /layers\[0\]\.digest should be/],
  ['a digest of an unknown kind', layer({ digest: `md5:${'a'.repeat(32)}` }), /layers\[0\]\.digest should be/],
  [
    'a digest that is a list',
    layer({ digest: [digest('app')] }),
    /layers\[0\]\.digest should be a string, found a list/,
  ],

  ['no size', layer({ size: undefined }), /layers\[0\]\.size should be a whole number of bytes, found nothing/],
  ['a negative size', layer({ size: -1 }), /layers\[0\]\.size should be a whole number of bytes, found -1/],
  ['half a byte', layer({ size: 0.5 }), /layers\[0\]\.size .* found 0\.5/],
  ['a size too large to count', layer({ size: 2 ** 53 }), /layers\[0\]\.size .* found 9007199254740992/],
  ['a huge size', layer({ size: 1e300 }), /layers\[0\]\.size/],
  ['a size in a string', layer({ size: '5' }), /layers\[0\]\.size .* found "5"/],
  ['a size that is null', layer({ size: null }), /layers\[0\]\.size .* found null/],

  ['a media type that is a number', layer({ mediaType: 5 }), /layers\[0\]\.mediaType should be a string, found 5/],
  ['no media type', layer({ mediaType: undefined }), /layers\[0\]\.mediaType should be a string, found nothing/],
  ['URLs that are no list', layer({ urls: 'https://h.io' }), /layers\[0\]\.urls should be a list of strings/],
  ['a URL that is no string', layer({ urls: [{}] }), /layers\[0\]\.urls should be a list of strings/],
  ['annotations that are a list', layer({ annotations: ['a'] }), /layers\[0\]\.annotations should be an object/],
  [
    'an annotation that is a number',
    layer({ annotations: { a: 1 } }),
    /layers\[0\]\.annotations\.a should be a string, found 1/,
  ],
  [
    'a platform that is a string',
    { manifests: [{ ...app, platform: 'linux/amd64' }] },
    /manifests\[0\]\.platform should be/,
  ],
  [
    'an os that is a number',
    { manifests: [{ ...app, platform: { os: 1 } }] },
    /manifests\[0\]\.platform\.os should be a string/,
  ],
  ['a subject without a digest', { ...plainOciImage, subject: { size: 1 } }, /subject\.mediaType should be/],
  ['an artifactType that is a list', { ...plainOciImage, artifactType: ['a'] }, /artifactType should be a string/],
  ['a mediaType that is a number', { ...plainOciImage, mediaType: 2 }, /mediaType should be a string, found 2/],
];

for (const [what, document, problem] of broken) {
  test(`refuses ${what}, and says where`, () => {
    assert.throws(
      () => parseManifest(json(document)),
      (error: unknown) => {
        assert(error instanceof InvalidManifestError);
        assert.match(error.message, problem);
        assert.equal(error.code, 'ERR_INVALID_MANIFEST');
        assert.equal(error.kind, 'failed');
        return true;
      },
    );
  });
}

test('leaves out what a platform says with empty strings', () => {
  const platform = { os: 'linux', architecture: 'amd64', variant: '', 'os.version': '' };
  const index = parseManifest(json({ manifests: [{ ...app, platform }] }));
  assert(index.kind === 'index');
  assert.deepEqual(index.manifests[0]?.platform, { os: 'linux', architecture: 'amd64' });
});

test('takes a platform that says nothing, so that the index can be copied', () => {
  const index = parseManifest(
    json({
      manifests: [
        { ...app, platform: {} },
        { ...app, platform: null },
      ],
    }),
  );
  assert(index.kind === 'index');
  assert.deepEqual(index.manifests, [{ ...app, platform: { os: '', architecture: '' } }, app]);
});

test('treats an annotation that is null as absent', () => {
  const manifest = parseManifest(json({ ...layer({ annotations: { a: null, b: 'c' } }), annotations: { d: null } }));
  assert(manifest.kind === 'image');
  assert.deepEqual(manifest.layers[0]?.annotations, { b: 'c' });
  assert.deepEqual(manifest.annotations, {});
});

function layer(changes: object) {
  return { ...plainOciImage, layers: [{ ...app, ...changes }] };
}
