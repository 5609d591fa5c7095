import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from './descriptor.ts';

/** An index within an index within …: deeper than this is no image, but an attack or a mistake. Nothing below it is read. */
export const MAX_INDEX_DEPTH = 4;

/** What a manifest says, whatever its format. The bytes it was read from stay the truth: nothing is ever written back from this. */
export type Manifest = ImageManifest | ImageIndex | Schema1Manifest;

/** An OCI or Docker schema 2 manifest. @see https://github.com/opencontainers/image-spec/blob/main/manifest.md */
export interface ImageManifest {
  readonly kind: 'image';
  readonly mediaType: string;
  /** Undefined in an OCI artifact manifest, which has none. */
  readonly config: Descriptor | undefined;
  /** In order, the lowest first; a digest may come twice. The `blobs` of an OCI artifact manifest. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** Not a container image: its config and layers may be anything, and are left as they are. */
  readonly isArtifact: boolean;
}

/** An OCI index or Docker manifest list. @see https://github.com/opencontainers/image-spec/blob/main/image-index.md */
export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  /** In order. Not all need be images: attestations, other indexes, or blobs. */
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor | undefined;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** A Docker schema 1 manifest. @see https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-1.md */
export interface Schema1Manifest {
  readonly kind: 'schema1';
  readonly mediaType: string;
  /** Its digest is then not that of its bytes: see manifestDigest. */
  readonly signed: boolean;
  /** Undefined where it names no architecture. */
  readonly platform?: Platform | undefined;
  /** In the order of `fsLayers`, the topmost first; a digest may come twice. */
  readonly layers: readonly Schema1Layer[];
}

/** A layer of schema 1, which says nothing of sizes. */
export interface Schema1Layer {
  readonly digest: Digest;
  /** Made by a step that changed no files. The blob exists all the same. */
  readonly empty: boolean;
}

/** Bytes that should be a manifest and are none that can be relied on. */
export class InvalidManifestError extends ImgcopyError {
  constructor(problem: string, options: { readonly cause?: unknown } = {}) {
    super(`invalid manifest: ${problem}`, { code: 'ERR_INVALID_MANIFEST', kind: 'failed', cause: options.cause });
  }
}
