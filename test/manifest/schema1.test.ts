import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../src/digest/digest.ts';
import { InvalidManifestError } from '../../src/manifest/manifest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { manifestDigest, parseManifest } from '../../src/manifest/parse-manifest.ts';
import { signedPayload } from '../../src/manifest/schema1.ts';
import { digest, dockerImage, json, plainOciImage, schema1, signSchema1 } from './samples.ts';

const layers = [
  { digest: digest('empty'), empty: true },
  { digest: digest('app'), empty: false },
  { digest: digest('base'), empty: false },
];

test('reads unsigned schema 1, topmost layer first, with its empty layers (behaviour 33)', () => {
  assert.deepEqual(parseManifest(json(schema1)), {
    kind: 'schema1',
    mediaType: MediaType.schema1Manifest,
    signed: false,
    platform: { os: 'linux', architecture: 'amd64' },
    layers,
  });
});

test('reads the platform of schema 1 from its topmost step', () => {
  const step = { os: 'windows', architecture: 'arm', variant: 'v7', 'os.version': '10.0.1.2' };
  const history = [{ v1Compatibility: JSON.stringify(step) }, ...schema1.history.slice(1)];
  const platformOf = (document: object): unknown => {
    const manifest = parseManifest(json(document));
    return manifest.kind === 'schema1' && manifest.platform;
  };
  assert.deepEqual(platformOf({ ...schema1, history }), {
    os: 'windows',
    architecture: 'arm',
    variant: 'v7',
    osVersion: '10.0.1.2',
  });
  assert.deepEqual(platformOf({ ...schema1, architecture: 's390x' }), { os: 'linux', architecture: 's390x' });
  assert.equal(platformOf({ ...schema1, architecture: undefined }), undefined);
});

test('reads signed schema 1', () => {
  assert.deepEqual(parseManifest(signSchema1(json(schema1, 3))), {
    kind: 'schema1',
    mediaType: MediaType.schema1SignedManifest,
    signed: true,
    platform: { os: 'linux', architecture: 'amd64' },
    layers,
  });
});

for (const indent of [undefined, 2, 3, '\t']) {
  for (const signatures of [1, 3]) {
    test(`takes the digest of what ${signatures} signatures sign, indented by ${JSON.stringify(indent)}`, () => {
      const payload = json(schema1, indent);
      const signed = signSchema1(payload, { signatures });
      assert.deepEqual(signedPayload(signed), payload);
      assert.equal(manifestDigest(signed, MediaType.schema1SignedManifest), digestOf(payload));
      assert.equal(manifestDigest(signed, MediaType.schema1SignedManifest, 'sha512'), digestOf(payload, 'sha512'));
    });
  }
}

test('takes the digest of the bytes of all other manifests', () => {
  const bytes = json(dockerImage);
  assert.equal(manifestDigest(bytes, MediaType.dockerManifest), digestOf(bytes));
  assert.equal(manifestDigest(json(schema1), MediaType.schema1Manifest), digestOf(json(schema1)));
});

test('reads the layers that are signed, not those written beside the signatures', () => {
  const forged = `"fsLayers": [{"blobSum": "${digest('forged')}"}], "history": [{"v1Compatibility": "{}"}],`;
  const manifest = parseManifest(signSchema1(json(schema1, 3), { between: forged }));
  assert(manifest.kind === 'schema1');
  assert.deepEqual(manifest.layers, layers);
});

test('refuses a payload that is another manifest', () => {
  const outside = `"schemaVersion": 1, "fsLayers": [], "config": null, "layers": null,`;
  const disguised = signSchema1(json(plainOciImage, 3), { between: outside });
  assert.throws(() => parseManifest(disguised), /the signed payload is not a schema 1 manifest/);
});

test('says that it is the signed payload which cannot be read', () => {
  const payload = json(schema1, 3);
  const header = { formatLength: 20, formatTail: '' };
  const signatures = [{ protected: Buffer.from(JSON.stringify(header)).toString('base64url') }];
  const cut = json({ ...schema1, signatures });
  assert.throws(() => parseManifest(cut), { message: 'invalid manifest: the signed payload is not JSON' });
  const broken = signSchema1(Buffer.from(payload.toString().replace(digest('base'), 'sha256:x')));
  assert.throws(() => parseManifest(broken), /: the signed payload\.fsLayers\[2\]\.blobSum should be/);
});

const signature = (header: unknown) => ({ protected: Buffer.from(JSON.stringify(header)).toString('base64url') });
const malformed: readonly (readonly [string, unknown, RegExp])[] = [
  ['no signatures', [], /it has no signatures/],
  ['signatures that are no list', {}, /signatures should be a list, found an object/],
  ['no protected header', [{}], /signatures\[0\]\.protected should be a string/],
  ['a protected header that is not JSON', [{ protected: 'AAAA' }], /signatures\[0\]\.protected is not JSON/],
  ['no length', [signature({ formatTail: 'fQ' })], /signatures\[0\]\.protected\.formatLength should be/],
  ['a negative length', [signature({ formatLength: -5, formatTail: 'fQ' })], /formatLength should be .* found -5/],
  ['a length past the end', [signature({ formatLength: 1e9, formatTail: 'fQ' })], /more bytes than it has/],
  ['no tail', [signature({ formatLength: 5 })], /formatTail should be a string/],
  [
    'signatures that differ in length',
    [signature({ formatLength: 5, formatTail: 'fQ' }), signature({ formatLength: 6, formatTail: 'fQ' })],
    /of different payloads/,
  ],
  [
    'signatures that differ in tail',
    [signature({ formatLength: 5, formatTail: 'fQ' }), signature({ formatLength: 5, formatTail: 'Cn0' })],
    /of different payloads/,
  ],
];

for (const [what, signatures, problem] of malformed) {
  test(`refuses ${what}`, () => {
    const bytes = json({ ...schema1, signatures });
    for (const read of [signedPayload, parseManifest]) {
      assert.throws(
        () => read(bytes),
        (error: unknown) => error instanceof InvalidManifestError && problem.test(error.message),
      );
    }
  });
}

const broken: readonly (readonly [string, object, RegExp])[] = [
  ['no layers', { fsLayers: [], history: [] }, /it has no fsLayers/],
  ['less history than layers', { history: schema1.history.slice(1) }, /3 fsLayers and 2 entries of history/],
  ['a path for a blobSum', { fsLayers: [{ blobSum: '../x' }, {}, {}] }, /fsLayers\[0\]\.blobSum should be/],
  [
    'history that is not JSON',
    { history: [{ v1Compatibility: '{' }, {}, {}] },
    /history\[0\]\.v1Compatibility is not JSON/,
  ],
];

for (const [what, changes, problem] of broken) {
  test(`refuses ${what}`, () => {
    assert.throws(() => parseManifest(json({ ...schema1, ...changes })), problem);
  });
}
