import { createCipheriv, createHash } from 'node:crypto';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/digest/digest.ts';
import type { Descriptor, Platform } from '../../src/manifest/descriptor.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import { payloadOf, SIGNED_SCHEMA1, signSchema1 } from './schema1.ts';

export { tarGzLayer } from './tar-layer.ts';

/** An image as it lies in a registry. */
export interface TestImage {
  readonly manifest: RawManifest;
  /** The manifests that an index names, and those that they name; what is named comes before what names it. */
  readonly instances: readonly RawManifest[];
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

export type ImageFormat = 'oci' | 'docker';

const mediaTypes = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

const amd64: Platform = { os: 'linux', architecture: 'amd64' };

/** The gzipped empty layer of schema 1, a3ed95…. */
export const EMPTY_LAYER: Buffer = Buffer.from('H4sIAAAJbogA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=', 'base64');

/** Bytes that do not compress, the same for the same seed. @param size  in bytes */
export function randomBytes(seed: number | string, size: number): Buffer {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, 16);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

/** Layers of random bytes. */
export interface RandomLayers {
  readonly count: number;
  /** Of each, in bytes. */
  readonly size: number;
  /** Default: `layer`. */
  readonly seed?: string | undefined;
}

export interface ImageOptions {
  readonly layers: readonly Buffer[] | RandomLayers;
  /** Default `oci`. */
  readonly format?: ImageFormat | undefined;
  /** Default linux/amd64. */
  readonly platform?: Platform | undefined;
  /** Of the manifest. */
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Default: that of a gzipped tar in the image's format. */
  readonly layerMediaType?: string | undefined;
  /** By the position of the layer. */
  readonly layerAnnotations?: readonly (Readonly<Record<string, string>> | undefined)[] | undefined;
  readonly subject?: RawManifest | undefined;
}

/** An image of one platform. Its config is valid; diff_ids are those of the layers' uncompressed content. */
export function buildImage(options: ImageOptions): TestImage {
  const { format = 'oci', platform = amd64, annotations, layerAnnotations = [], subject } = options;
  const types = mediaTypes[format];
  const layers = layersOf(options.layers);
  const config = jsonBytes({
    ...platformJson(platform),
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => digestOf(uncompressed(layer))) },
    history: layers.map((_, index) => ({ created_by: `layer ${index}` })),
  });
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(config, types.config),
    layers: layers.map((layer, index) =>
      describe(layer, options.layerMediaType ?? types.layer, { annotations: layerAnnotations[index] }),
    ),
    subject: subject === undefined ? undefined : describe(subject.bytes, subject.mediaType),
    annotations,
  });
  return { manifest: raw(manifest, types.manifest), instances: [], blobs: blobMap([config, ...layers]) };
}

export interface IndexEntry {
  /** May be an index itself. */
  readonly image: TestImage;
  readonly platform?: Platform | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly artifactType?: string | undefined;
}

export interface IndexOptions {
  readonly images: readonly IndexEntry[];
  /** Default `oci`. */
  readonly format?: ImageFormat | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly subject?: RawManifest | undefined;
}

/** An index, or a manifest list, of images, artifacts and other indexes. */
export function buildIndex({ images, format = 'oci', annotations, subject }: IndexOptions): TestImage {
  const mediaType = mediaTypes[format].index;
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType,
    manifests: images.map(({ image, platform, ...extra }) =>
      describe(image.manifest.bytes, image.manifest.mediaType, {
        platform: platform === undefined ? undefined : platformJson(platform),
        annotations: extra.annotations,
        artifactType: extra.artifactType,
      }),
    ),
    subject: subject === undefined ? undefined : describe(subject.bytes, subject.mediaType),
    annotations,
  });
  return {
    manifest: raw(manifest, mediaType),
    instances: images.flatMap(({ image }) => [...image.instances, image.manifest]),
    blobs: new Map(images.flatMap(({ image }) => [...image.blobs])),
  };
}

export interface ArtifactOptions {
  /** Default: the OCI empty config. */
  readonly configMediaType?: string | undefined;
  readonly artifactType?: string | undefined;
  /** By name, which becomes the title annotation. */
  readonly files: Readonly<Record<string, Buffer | string>>;
  /** Default application/octet-stream. */
  readonly fileMediaType?: string | undefined;
  readonly subject?: RawManifest | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** An OCI artifact, with the empty config `{}`. */
export function buildArtifact(options: ArtifactOptions): TestImage {
  const { configMediaType = 'application/vnd.oci.empty.v1+json', artifactType, subject, annotations } = options;
  const config = Buffer.from('{}');
  const files = Object.entries(options.files).map(([name, content]) => ({ name, bytes: Buffer.from(content) }));
  const mediaType = mediaTypes.oci.manifest;
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType,
    artifactType,
    config: describe(config, configMediaType),
    layers: files.map(({ name, bytes }) =>
      describe(bytes, options.fileMediaType ?? 'application/octet-stream', {
        annotations: { 'org.opencontainers.image.title': name },
      }),
    ),
    subject: subject === undefined ? undefined : describe(subject.bytes, subject.mediaType),
    annotations,
  });
  return {
    manifest: raw(manifest, mediaType),
    instances: [],
    blobs: blobMap([config, ...files.map((file) => file.bytes)]),
  };
}

/** An image in schema 1, its layers from the topmost down as that format has them; `null` is the empty layer. */
export function buildSchema1(options: { layers: readonly (Buffer | null)[]; signed?: boolean }): TestImage {
  const layers = options.layers.map((layer) => layer ?? EMPTY_LAYER);
  const history = layers.map((_, index) => ({
    id: digestOf(Buffer.from(`layer ${index}`)).slice('sha256:'.length),
    ...(index + 1 < layers.length
      ? { parent: digestOf(Buffer.from(`layer ${index + 1}`)).slice('sha256:'.length) }
      : {}),
    architecture: 'amd64',
    os: 'linux',
    throwaway: options.layers[index] === null ? true : undefined,
  }));
  const content = {
    schemaVersion: 1,
    name: 'app',
    tag: 'latest',
    architecture: 'amd64',
    fsLayers: layers.map((layer) => ({ blobSum: digestOf(layer) })),
    history: history.map((entry) => ({ v1Compatibility: JSON.stringify(entry) })),
  };
  const payload = Buffer.from(JSON.stringify(content, undefined, 3));
  const manifest =
    options.signed === true
      ? raw(signSchema1(payload), SIGNED_SCHEMA1)
      : raw(payload, 'application/vnd.docker.distribution.manifest.v1+json');
  return { manifest, instances: [], blobs: blobMap(layers) };
}

/** The descriptor of some bytes. */
export function describe(
  bytes: Buffer,
  mediaType: string,
  extra: Readonly<Record<string, unknown>> = {},
): Pick<Descriptor, 'mediaType' | 'digest' | 'size'> {
  return { mediaType, digest: digestOf(bytes), size: bytes.length, ...extra };
}

function raw(bytes: Buffer, mediaType: string): RawManifest {
  return { bytes, mediaType, digest: digestOf(payloadOf(bytes, mediaType)) };
}

function blobMap(blobs: readonly Buffer[]): ReadonlyMap<Digest, Buffer> {
  return new Map(blobs.map((blob) => [digestOf(blob), blob]));
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function platformJson({ osVersion, osFeatures, ...platform }: Platform): Readonly<Record<string, unknown>> {
  return { ...platform, 'os.version': osVersion, 'os.features': osFeatures };
}

function layersOf(layers: readonly Buffer[] | RandomLayers): readonly Buffer[] {
  if (!('count' in layers)) return layers;
  const { count, size, seed = 'layer' } = layers;
  return Array.from({ length: count }, (_, index) => randomBytes(`${seed} ${index}`, size));
}

/** By magic numbers; what is neither gzip nor zstd is taken as it is. */
function uncompressed(layer: Buffer): Buffer {
  if (layer.subarray(0, 3).equals(Buffer.of(0x1f, 0x8b, 0x08))) return gunzipSync(layer);
  if (layer.subarray(0, 4).equals(Buffer.of(0x28, 0xb5, 0x2f, 0xfd))) return zstdDecompressSync(layer);
  return layer;
}
