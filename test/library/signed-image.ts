import { digestHex, type Digest } from '../../src/digest/digest.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import { referrersTag } from '../../src/manifest/referrers-index.ts';
import { buildArtifact, buildImage, buildIndex, describe, type TestImage } from '../support/images.ts';
import type { TestRegistry } from '../support/registry.ts';

export const NOTATION = 'application/vnd.cncf.notary.signature';
export const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const SBOM = 'application/spdx+json';

export const images: readonly TestImage[] = ['amd64', 'arm64'].map((architecture) =>
  buildImage({ layers: { count: 1, size: 1000, seed: architecture }, platform: { os: 'linux', architecture } }),
);
const [amd64, arm64] = images as [TestImage, TestImage];

/** An index of two images. */
export const index: TestImage = buildIndex({
  images: images.map((image, position) => ({
    image,
    platform: { os: 'linux', architecture: position === 0 ? 'amd64' : 'arm64' },
  })),
});

/** A signature as Notation stores it. */
export function notationOf(subject: RawManifest, text: string): TestImage {
  return buildArtifact({
    configMediaType: NOTATION,
    fileMediaType: 'application/jose+json',
    files: { 'signature.jws': text },
    annotations: { 'io.cncf.notary.x509chain.thumbprint#S256': '["00"]' },
    subject,
  });
}

/** A signature as cosign 2 stores it under a tag: an image without a subject, whose layers are payloads. */
export function cosignImage(text: string): TestImage {
  return buildImage({
    layers: [Buffer.from(text)],
    layerMediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    layerAnnotations: [{ 'dev.cosignproject.cosign/signature': 'MEUCIQ==' }],
  });
}

export function cosignTag(digest: Digest, suffix: string): string {
  return `sha256-${digestHex(digest)}.${suffix}`;
}

const sbom = buildArtifact({
  artifactType: SBOM,
  files: { 'sbom.json': '{}' },
  subject: amd64.manifest,
  annotations: { made: 'today' },
});
const bundle = buildArtifact({ artifactType: BUNDLE, files: { bundle: '{}' }, subject: arm64.manifest });

type ReferrerName =
  'a signature on the index' | 'an SBOM of an instance' | 'a bundle of the other instance' | 'a signature on the SBOM';

/** All that refers to the index, by what it is. */
export const referrers: Readonly<Record<ReferrerName, TestImage>> = {
  'a signature on the index': notationOf(index.manifest, 'index'),
  'an SBOM of an instance': sbom,
  'a bundle of the other instance': bundle,
  'a signature on the SBOM': notationOf(sbom.manifest, 'sbom'),
};

/** What refers to the index under tags of its own. */
export const tagged: Readonly<Record<string, TestImage>> = {
  [cosignTag(index.manifest.digest, 'sig')]: cosignImage('index'),
  [cosignTag(amd64.manifest.digest, 'att')]: cosignImage('attestation'),
  [cosignTag(arm64.manifest.digest, 'sbom')]: cosignImage('sbom'),
  [cosignTag(sbom.manifest.digest, 'sig')]: cosignImage('on the SBOM'),
};

/** Puts the index, and all that refers to it, into the repository `app`. Where the registry has no referrers API, under referrers tags. */
export function seedSigned(registry: TestRegistry): void {
  registry.seed('app', 'v1', index);
  for (const referrer of Object.values(referrers)) registry.seed('app', undefined, referrer);
  for (const [tag, image] of Object.entries(tagged)) registry.seed('app', tag, image);
  if (registry.settings.referrers) return;
  for (const referrer of Object.values(referrers)) seedReferrersTag(registry, [referrer]);
}

/** Lists manifests in the index of their subject's referrers tag. */
export function seedReferrersTag(registry: TestRegistry, listed: readonly TestImage[], subject?: Digest): void {
  const [first] = listed;
  const named = JSON.parse(String(first?.manifest.bytes)) as { subject: { digest: Digest } };
  const manifests = listed.map(({ manifest: { bytes, mediaType } }) => {
    const { artifactType, config, annotations } = JSON.parse(String(bytes)) as {
      artifactType?: string;
      config?: { mediaType: string };
      annotations?: Record<string, string>;
    };
    return describe(bytes, mediaType, { artifactType: artifactType ?? config?.mediaType, annotations });
  });
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
  const manifest = { bytes, mediaType, digest: describe(bytes, mediaType).digest };
  registry.seed('app', referrersTag(subject ?? named.subject.digest), { manifest, instances: [], blobs: new Map() });
}
