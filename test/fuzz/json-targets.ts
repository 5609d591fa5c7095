import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isDigest } from '../../src/digest/digest.ts';
import type { Descriptor } from '../../src/manifest/descriptor.ts';
import { replaceInstances, replaceLayers, type Replacement, subsetIndex } from '../../src/manifest/edit-manifest.ts';
import { findImage, imageNames, parseLayoutIndex, withImages } from '../../src/manifest/image-layout.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { type Manifest, manifestDigest, parseManifest } from '../../src/manifest/parse-manifest.ts';
import { attestationsFor, matchPlatform, parsePlatform } from '../../src/manifest/platform.ts';
import { descriptor, digest, dockerImage } from '../manifest/samples.ts';
import { signSchema1 } from '../support/schema1.ts';
import { nearly, nearlyJson } from './nearly.ts';
import { type FuzzTarget, parsed, target } from './target.ts';

const NEW_LAYER: Replacement = { digest: digest('new'), size: 3, mediaType: MediaType.ociLayerZstd };
const declared = fc.option(fc.constantFrom(...Object.values(MediaType), 'text/plain', ';', ''), { nil: undefined });

/** Documents that registries and directories keep. */
export const JSON_TARGETS: readonly FuzzTarget[] = [
  target('manifest', fc.tuple(fc.oneof(nearlyJson(images()), signedManifests()), declared), ([text, type]) => {
    const bytes = Buffer.from(text);
    const manifest = parsed(() => parseManifest(bytes, type));
    if (manifest === undefined) return;
    assertSafe(manifest);
    parsed(() => manifestDigest(bytes, manifest.mediaType));
    const [first] = manifest.kind === 'image' ? manifest.layers : [];
    if (manifest.kind !== 'image' || manifest.config === undefined || first === undefined) return;
    // A manifest that says nothing of its kind may count as another one without the Content-Type.
    if (parsed(() => parseManifest(bytes))?.kind !== 'image') return;
    const edited = parsed(() => replaceLayers(bytes, new Map([[first.digest, NEW_LAYER]])));
    if (edited !== undefined) assertSafe(parseManifest(edited));
  }),

  target('index', fc.tuple(nearlyJson(indexes()), fc.nat(3)), ([text, position]) => {
    const bytes = Buffer.from(text);
    const index = parsed(() => parseManifest(bytes));
    if (index?.kind !== 'index') return;
    assertSafe(index);
    const chosen = index.manifests[position];
    for (const name of ['linux/amd64/v3', 'linux/arm/v7', 'windows/amd64'])
      matchPlatform(index.manifests, parsePlatform(name));
    if (chosen === undefined) return;
    attestationsFor(index.manifests, chosen.digest);
    const subset = parsed(() => subsetIndex(bytes, (entry) => entry.digest === chosen.digest));
    if (subset !== undefined) assertSafe(parseManifest(subset));
    const replaced = parsed(() => replaceInstances(bytes, new Map([[chosen.digest, NEW_LAYER]])));
    if (replaced !== undefined) assertSafe(parseManifest(replaced));
  }),

  target('layout', fc.tuple(nearlyJson(layouts()), fc.constantFrom(undefined, 'v1', 'v2')), ([text, name]) => {
    const bytes = Buffer.from(text);
    const listed = parsed(() => parseLayoutIndex(bytes, 'oci:lay'));
    if (listed === undefined) return;
    for (const one of listed) assertSafeDescriptor(one.descriptor);
    parsed(() => findImage(listed, { name }, 'oci:lay'));
    const image = { ...NEW_LAYER, mediaType: MediaType.ociManifest };
    const changed = withImages(bytes, [{ descriptor: image, name }]);
    const after = parseLayoutIndex(changed, 'oci:lay');
    assert.equal(findImage(after, { name, digest: image.digest }, 'oci:lay')?.descriptor.digest, image.digest);
    const others = listed.filter((one) => one.name === undefined || one.name !== name);
    for (const { descriptor: other } of others) assert.ok(after.some((one) => one.descriptor.digest === other.digest));
    for (const unique of imageNames(after)) assert.ok(after.some((one) => [one.name, one.fullName].includes(unique)));
  }),
];

function layouts(): readonly object[] {
  const named = (of: string, name: string): object => ({
    ...descriptor(MediaType.ociManifest, of),
    annotations: { 'org.opencontainers.image.ref.name': name, 'io.containerd.image.name': `docker.io/library/${of}:1` },
  });
  return [
    { schemaVersion: 2, manifests: [named('one', 'v1'), named('two', 'v1'), descriptor(MediaType.ociIndex, 'three')] },
    { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [named('one', 'v2')], annotations: { a: 'b' } },
  ];
}

/** Whatever was read can go into a path, a URL and a sum. */
function assertSafe(manifest: Manifest): void {
  if (manifest.kind === 'schema1') {
    assert.ok(manifest.layers.every((layer) => isDigest(layer.digest)));
    return;
  }
  const own = manifest.kind === 'index' ? manifest.manifests : [...manifest.layers, manifest.config, manifest.subject];
  for (const entry of own) if (entry !== undefined) assertSafeDescriptor(entry);
}

function assertSafeDescriptor({ digest: found, size, urls = [], annotations = {} }: Descriptor): void {
  assert.ok(isDigest(found) && Number.isSafeInteger(size) && size >= 0);
  assert.ok(urls.every((url) => typeof url === 'string'));
  for (const key of Object.keys(annotations)) assert.equal(typeof key, 'string');
}

function images(): readonly object[] {
  const config = descriptor(MediaType.ociConfig, 'config');
  const layer = {
    ...descriptor(MediaType.ociLayerGzip, 'layer'),
    urls: ['https://cdn.test/x'],
    annotations: { a: 'b' },
  };
  return [
    dockerImage,
    {
      schemaVersion: 2,
      config,
      layers: [layer, layer],
      subject: config,
      artifactType: 'text/x',
      annotations: { c: 'd' },
    },
    { mediaType: MediaType.ociArtifactManifest, blobs: [layer], subject: config },
    schema1(),
  ];
}

function schema1(): object {
  return {
    schemaVersion: 1,
    name: 'app',
    tag: 'v1',
    architecture: 'amd64',
    fsLayers: [{ blobSum: digest('layer') }, { blobSum: digest('empty') }],
    history: [{ v1Compatibility: '{"id":"a"}' }, { v1Compatibility: '{"id":"b","throwaway":true}' }],
  };
}

function signedManifests(): fc.Arbitrary<string> {
  const header = nearlyJson([{ formatLength: 200, formatTail: 'Cn0', time: '1970-01-01T00:00:00Z' }]);
  const signed = signSchema1(Buffer.from(JSON.stringify(schema1(), undefined, 3))).toString();
  const forged = header.map((text) => ({
    ...schema1(),
    signatures: [{ signature: 's', protected: Buffer.from(text).toString('base64url') }],
  }));
  return fc.oneof(
    forged.map((document) => JSON.stringify(document)),
    nearly([signed], ['"', '{', '}', 'formatLength']),
  );
}

function indexes(): readonly object[] {
  const entry = (name: string, platform: object): object => ({ ...descriptor(MediaType.ociManifest, name), platform });
  const attestation = {
    ...entry('attestation', { os: 'unknown', architecture: 'unknown' }),
    annotations: {
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': digest('amd64'),
    },
  };
  const manifests = [
    entry('amd64', { os: 'linux', architecture: 'amd64', variant: 'v3' }),
    entry('arm', { os: 'linux', architecture: 'arm', variant: '7' }),
    entry('windows', { os: 'windows', architecture: 'amd64', 'os.version': '10.0.1', 'os.features': ['win32k'] }),
    attestation,
  ];
  return [
    { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests, annotations: { a: 'b' } },
    { schemaVersion: 2, mediaType: MediaType.dockerManifestList, manifests },
    { manifests },
  ];
}
