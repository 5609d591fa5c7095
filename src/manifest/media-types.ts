/**
 * The media types that manifests, configs and layers are known by.
 *
 * @see https://github.com/opencontainers/image-spec/blob/main/media-types.md
 * @see https://distribution.github.io/distribution/spec/manifest-v2-2/#media-types
 */
export const MediaType = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  /** Never part of a released image-spec, but still stored in registries. */
  ociArtifactManifest: 'application/vnd.oci.artifact.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociForeignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  ociForeignLayerGzip: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  ociForeignLayerZstd: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',

  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',

  schema1Manifest: 'application/vnd.docker.distribution.manifest.v1+json',
  schema1SignedManifest: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/**
 * What to accept when a manifest is asked for: the formats of today first, indexes before images. All are needed: GHCR answers
 * MANIFEST_UNKNOWN for an index that was not accepted, ACR for an artifact manifest (go-containerregistry#1697).
 */
export const MANIFEST_ACCEPT: readonly string[] = [
  MediaType.ociIndex,
  MediaType.dockerManifestList,
  MediaType.ociManifest,
  MediaType.dockerManifest,
  MediaType.ociArtifactManifest,
  MediaType.schema1SignedManifest,
  MediaType.schema1Manifest,
];

/** Whether content of this type lists manifests. */
export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

/** Whether content of this type names a config and layers with their sizes; the OCI artifact manifest is taken for one. */
export function isImageManifestType(mediaType: string): boolean {
  return IMAGE_MANIFEST_TYPES.has(mediaType);
}

/** Whether content of this type is a schema 1 manifest, signed or not. */
export function isSchema1Type(mediaType: string): boolean {
  return SCHEMA1_TYPES.has(mediaType);
}

/** Whether content of this type is a manifest of any kind. An index may also name other things: BuildKit's caches list layers. */
export function isManifestType(mediaType: string): boolean {
  return isIndexType(mediaType) || isImageManifestType(mediaType) || isSchema1Type(mediaType);
}

/** Whether a layer of this type may live outside the registry, at the descriptor's URLs. */
export function isForeignLayerType(mediaType: string): boolean {
  return FOREIGN_LAYER_TYPES.has(mediaType);
}

/** Whether a blob is kept outside the registry. `urls` of other types than the foreign ones are no more than a hint, which nothing follows. */
export function isForeignLayer(blob: {
  readonly mediaType?: string | undefined;
  readonly urls?: readonly string[] | undefined;
}): boolean {
  return blob.mediaType !== undefined && isForeignLayerType(blob.mediaType) && (blob.urls?.length ?? 0) > 0;
}

const INDEX_TYPES: ReadonlySet<string> = new Set([MediaType.ociIndex, MediaType.dockerManifestList]);

const IMAGE_MANIFEST_TYPES: ReadonlySet<string> = new Set([
  MediaType.ociManifest,
  MediaType.dockerManifest,
  MediaType.ociArtifactManifest,
]);

const SCHEMA1_TYPES: ReadonlySet<string> = new Set([MediaType.schema1Manifest, MediaType.schema1SignedManifest]);

const FOREIGN_LAYER_TYPES: ReadonlySet<string> = new Set([
  MediaType.ociForeignLayer,
  MediaType.ociForeignLayerGzip,
  MediaType.ociForeignLayerZstd,
  MediaType.dockerForeignLayer,
  MediaType.dockerForeignLayerGzip,
]);
