import { digestOf, type Digest } from '../../src/digest/digest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';

/** A descriptor as JSON has it. */
export interface SampleDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly urls?: readonly string[];
  readonly data?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Readonly<Record<string, unknown>>;
}

export interface SampleImage {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config: SampleDescriptor;
  readonly layers: readonly SampleDescriptor[];
  readonly subject?: SampleDescriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface SampleIndex {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly manifests: readonly SampleDescriptor[];
}

export interface SampleSchema1 {
  readonly schemaVersion: 1;
  readonly name: string;
  readonly tag: string;
  readonly architecture: string;
  readonly fsLayers: readonly { readonly blobSum: Digest }[];
  readonly history: readonly { readonly v1Compatibility: string }[];
}

/** A digest that depends on the name alone. */
export function digest(name: string): Digest {
  return digestOf(Buffer.from(name));
}

export function json(value: unknown, indent?: string | number): Buffer {
  return Buffer.from(JSON.stringify(value, null, indent));
}

export function descriptor(mediaType: string, name: string, size: number = name.length): SampleDescriptor {
  return { mediaType, digest: digest(name), size };
}

/** As docker pushes it: three spaces, schemaVersion first. */
export const dockerImage: SampleImage = {
  schemaVersion: 2,
  mediaType: MediaType.dockerManifest,
  config: descriptor(MediaType.dockerConfig, 'config', 7023),
  layers: [
    descriptor(MediaType.dockerLayerGzip, 'base', 32654),
    descriptor(MediaType.dockerLayerGzip, 'app', 16724),
    descriptor(MediaType.dockerLayerGzip, 'base', 32654),
  ],
};

/** A Windows image: its base layers are at Microsoft's. */
export const windowsImage: SampleImage = {
  schemaVersion: 2,
  mediaType: MediaType.dockerManifest,
  config: descriptor(MediaType.dockerConfig, 'config'),
  layers: [
    {
      ...descriptor(MediaType.dockerForeignLayerGzip, 'servercore', 1_696_000_000),
      urls: ['https://mcr.microsoft.com/v2/windows/servercore/blobs/sha256:0'],
    },
    descriptor(MediaType.dockerLayerGzip, 'app'),
  ],
};

/** As containers/image writes zstd:chunked. */
export const chunkedImage: SampleImage = {
  schemaVersion: 2,
  mediaType: MediaType.ociManifest,
  config: descriptor(MediaType.ociConfig, 'config', 438),
  layers: [
    {
      ...descriptor(MediaType.ociLayerZstd, 'base', 18486),
      annotations: {
        'io.github.containers.zstd-chunked.manifest-checksum': digest('toc'),
        'io.github.containers.zstd-chunked.manifest-position': '16846:806:2452:1',
        'io.github.containers.zstd-chunked.tarsplit-position': '17660:754:14310',
      },
    },
    {
      ...descriptor(MediaType.ociLayerGzip, 'app', 1508533),
      annotations: {
        'containerd.io/snapshot/stargz/toc.digest': digest('toc'),
        'io.containers.estargz.uncompressed-size': '4341248',
        'org.example.step': 'app',
      },
    },
  ],
  annotations: { 'org.opencontainers.image.created': '2026-01-01T00:00:00Z' },
};

/** As old tools of OCI wrote it: no mediaType. */
export const plainOciImage: SampleImage = {
  schemaVersion: 2,
  config: descriptor(MediaType.ociConfig, 'config'),
  layers: [descriptor(MediaType.ociLayerGzip, 'app')],
};

/** A Helm chart. */
export const helmChart: SampleImage = {
  schemaVersion: 2,
  config: descriptor('application/vnd.cncf.helm.config.v1+json', 'config'),
  layers: [descriptor('application/vnd.cncf.helm.chart.content.v1.tar+gzip', 'chart')],
  annotations: { 'org.opencontainers.image.title': 'chart' },
};

/** An SBOM attached to an image, as oras 1.1 and newer push it. */
export const attachedSbom: SampleImage = {
  schemaVersion: 2,
  mediaType: MediaType.ociManifest,
  artifactType: 'application/spdx+json',
  config: { ...descriptor('application/vnd.oci.empty.v1+json', '{}', 2), data: 'e30=' },
  layers: [descriptor('application/spdx+json', 'sbom')],
  subject: descriptor(MediaType.ociManifest, 'image'),
};

/** As cosign signs: an image by its config, though its layer is a payload. */
export const cosignSignature: SampleImage = {
  schemaVersion: 2,
  mediaType: MediaType.ociManifest,
  config: descriptor(MediaType.ociConfig, 'config'),
  layers: [
    {
      ...descriptor('application/vnd.dev.cosign.simplesigning.v1+json', 'payload'),
      annotations: { 'dev.cosignproject.cosign/signature': 'MEUCIQ==' },
    },
  ],
};

/** As oras 0.15 pushed it. */
export const artifactManifest: {
  readonly mediaType: string;
  readonly artifactType: string;
  readonly blobs: readonly SampleDescriptor[];
  readonly subject: SampleDescriptor;
} = {
  mediaType: MediaType.ociArtifactManifest,
  artifactType: 'application/spdx+json',
  blobs: [descriptor('application/spdx+json', 'sbom')],
  subject: descriptor(MediaType.ociManifest, 'image'),
};

/** As BuildKit pushes an image for two platforms with provenance. */
export const buildkitIndex: SampleIndex = {
  schemaVersion: 2,
  mediaType: MediaType.ociIndex,
  manifests: [
    { ...descriptor(MediaType.ociManifest, 'amd64', 1234), platform: { architecture: 'amd64', os: 'linux' } },
    {
      ...descriptor(MediaType.ociManifest, 'arm64', 1234),
      platform: { architecture: 'arm64', os: 'linux', variant: 'v8' },
    },
    attestation('amd64'),
    attestation('arm64'),
  ],
};

/** BuildKit's cache: an index that lists layers. */
export const buildkitCache: SampleIndex = {
  schemaVersion: 2,
  mediaType: MediaType.ociIndex,
  manifests: [
    {
      ...descriptor(MediaType.ociLayerGzip, 'layer'),
      annotations: { 'buildkit/createdat': '2026-01-01T00:00:00Z', 'containerd.io/uncompressed': digest('tar') },
    },
    descriptor('application/vnd.buildkit.cacheconfig.v0', 'cache'),
  ],
};

/** A manifest list as docker makes it. */
export const dockerList: SampleIndex = {
  schemaVersion: 2,
  mediaType: MediaType.dockerManifestList,
  manifests: [
    { ...descriptor(MediaType.dockerManifest, 'amd64'), platform: { architecture: 'amd64', os: 'linux' } },
    {
      ...descriptor(MediaType.dockerManifest, 'windows'),
      platform: {
        architecture: 'amd64',
        os: 'windows',
        'os.version': '10.0.20348.2700',
        'os.features': ['win32k'],
      },
    },
  ],
};

/** Unsigned schema 1; the topmost layer comes first. */
export const schema1: SampleSchema1 = {
  schemaVersion: 1,
  name: 'library/app',
  tag: 'latest',
  architecture: 'amd64',
  fsLayers: [{ blobSum: digest('empty') }, { blobSum: digest('app') }, { blobSum: digest('base') }],
  history: [
    { v1Compatibility: '{"id":"3","parent":"2","throwaway":true}' },
    { v1Compatibility: '{"id":"2","parent":"1"}' },
    { v1Compatibility: '{"id":"1"}' },
  ],
};

/**
 * Adds signatures to a schema 1 manifest as docker's libtrust does.
 *
 * @param payload  ends in `}`, blank space before it.
 */
export function signSchema1(
  payload: Buffer,
  { signatures = 1, between = '' }: { readonly signatures?: number; readonly between?: string } = {},
): Buffer {
  const text = payload.toString('utf8');
  const formatLength = text.slice(0, text.lastIndexOf('}')).trimEnd().length;
  const header = { formatLength, formatTail: base64url(text.slice(formatLength)), time: '2015-10-01T00:00:00Z' };
  const signature = { header: { alg: 'ES256' }, signature: 'c2ln', protected: base64url(JSON.stringify(header)) };
  const list = Array.from({ length: signatures }, () => signature);
  return Buffer.from(`${text.slice(0, formatLength)},${between}\n   "signatures": ${JSON.stringify(list)}\n}`);
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function attestation(of: string): SampleDescriptor {
  return {
    ...descriptor(MediaType.ociManifest, `provenance of ${of}`, 567),
    annotations: {
      'vnd.docker.reference.digest': digest(of),
      'vnd.docker.reference.type': 'attestation-manifest',
    },
    platform: { architecture: 'unknown', os: 'unknown' },
  };
}
