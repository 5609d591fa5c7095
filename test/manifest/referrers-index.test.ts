import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, type Digest } from '../../src/digest/digest.ts';
import type { Descriptor } from '../../src/manifest/descriptor.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../src/manifest/parse-manifest.ts';
import {
  addReferrers,
  asReferrer,
  parseReferrersIndex,
  parseReferrersPage,
  referrersTag,
} from '../../src/manifest/referrers-index.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const subject = buildImage({ layers: [] }).manifest;

function entry(name: string, annotations?: Readonly<Record<string, string>>): Descriptor {
  return { mediaType: MANIFEST, digest: digestOf(Buffer.from(name)), size: 7, ...(annotations && { annotations }) };
}

function asText(...entries: readonly Descriptor[]): string {
  return entries.map((one) => JSON.stringify(one)).join(',');
}

test('an entry has the type and the annotations of its manifest', () => {
  const annotations = { author: 'ann' };
  const cases = [
    { image: buildArtifact({ artifactType: 'a/b', files: {}, subject, annotations }), artifactType: 'a/b' },
    { image: buildArtifact({ configMediaType: 'c/d', files: {}, subject, annotations }), artifactType: 'c/d' },
    { image: buildIndex({ images: [], subject, annotations }), artifactType: undefined },
  ];
  for (const { image, artifactType } of cases) {
    const { bytes, mediaType, digest } = image.manifest;
    const descriptor = { mediaType, digest, size: bytes.length, annotations, ...(artifactType && { artifactType }) };
    assert.deepEqual(asReferrer(image.manifest, parseManifest(bytes)), { subject: subject.digest, descriptor });
  }
  assert.equal(asReferrer(subject, parseManifest(subject.bytes)), undefined);
});

test('the tag of a subject has at most 64 hex digits', () => {
  assert.equal(referrersTag(`sha256:${'0f'.repeat(32)}`), `sha256-${'0f'.repeat(32)}`);
  assert.equal(referrersTag(`sha512:${'0f'.repeat(64)}` as Digest), `sha512-${'0f'.repeat(32)}`);
});

test('makes an index, and adds to one what it does not name yet', () => {
  const made = addReferrers(undefined, [entry('one')]);
  assert.equal(made.toString(), `{"schemaVersion":2,"mediaType":"${INDEX}","manifests":[${asText(entry('one'))}]}`);
  const two = addReferrers(made, [entry('one'), entry('two')]);
  assert.equal(
    two.toString(),
    `{"schemaVersion":2,"mediaType":"${INDEX}","manifests":[${asText(entry('one'), entry('two'))}]}`,
  );
  assert.equal(addReferrers(two, [entry('two', { other: 'annotation' }), entry('one')]), two);
});

test('keeps every byte of an index that it adds to', () => {
  const [old, added] = [entry('old', { 'brackets "]}': '[{]\\"' }), entry('new')];
  const more = asText(added);
  const cases = [
    // Numbers that JavaScript does not hold, escapes, unknown fields, a list of the same name inside.
    [
      `{"manifests":[${asText(old)}],"schemaVersion":2.0,"mediaType":"${INDEX}","x":{"manifests":[1]},"n":12345678901234567890,"e":"\\u00e9é"}\n`,
      `{"manifests":[${asText(old)},${more}],"schemaVersion":2.0,"mediaType":"${INDEX}","x":{"manifests":[1]},"n":12345678901234567890,"e":"\\u00e9é"}\n`,
    ],
    [
      `{\n  "mediaType": "${INDEX}",\n  "schemaVersion": 2,\n  "manifests": [\n  ]\n}`,
      `{\n  "mediaType": "${INDEX}",\n  "schemaVersion": 2,\n  "manifests": [\n  ${more}]\n}`,
    ],
    [
      `{"schemaVersion":2,"manifests": null ,"mediaType":"${INDEX}","list":["manifests",null]}`,
      `{"schemaVersion":2,"manifests": [${more}] ,"mediaType":"${INDEX}","list":["manifests",null]}`,
    ],
    [
      `{"schemaVersion":2,"mediaType":"${INDEX}","name":"manifests" }`,
      `{"schemaVersion":2,"mediaType":"${INDEX}","name":"manifests" ,"manifests":[${more}]}`,
    ],
    // Of a name that comes twice, JSON.parse takes the last.
    [
      `{"manifests":[],"schemaVersion":2,"mediaType":"${INDEX}","m\\u0061nifests":[${asText(old)}]}`,
      `{"manifests":[],"schemaVersion":2,"mediaType":"${INDEX}","m\\u0061nifests":[${asText(old)},${more}]}`,
    ],
  ] as const;
  for (const [before, after] of cases) {
    assert.equal(addReferrers(Buffer.from(before), [added]).toString(), after);
    assert.ok(parseReferrersIndex(Buffer.from(after))?.manifests.some(({ digest }) => digest === added.digest));
  }
});

test('makes no index that registries would refuse for its size', () => {
  const large = addReferrers(undefined, [entry('large', { text: 'x'.repeat(MAX_MANIFEST_BYTES - 300) })]);
  const more = entry('more', { text: 'x'.repeat(300) });
  assert.throws(() => addReferrers(large, [more]), { code: 'ERR_INVALID_MANIFEST', message: /would have \d+ bytes/ });
});

test('takes nothing but an OCI index for an index of referrers', () => {
  const others = [subject.bytes, buildIndex({ images: [], format: 'docker' }).manifest.bytes, Buffer.from('<html>')];
  for (const bytes of others) assert.equal(parseReferrersIndex(bytes), undefined);
  assert.deepEqual(parseReferrersIndex(buildIndex({ images: [] }).manifest.bytes)?.manifests, []);
});

test('reads what a referrers API answers, and tells it from other answers', () => {
  const [one] = [entry('one')];
  const page = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  assert.deepEqual(parseReferrersPage(page({ schemaVersion: 2, mediaType: INDEX, manifests: [one] })), [one]);
  for (const manifests of [[], null]) assert.deepEqual(parseReferrersPage(page({ manifests })), []);
  for (const bytes of [page({}), page([]), page({ mediaType: MANIFEST, manifests: [] }), Buffer.from('<html>')])
    assert.equal(parseReferrersPage(bytes), undefined);
  assert.throws(() => parseReferrersPage(page({ manifests: [{}] })), { code: 'ERR_INVALID_MANIFEST' });
});
