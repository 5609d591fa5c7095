import type { Digest } from '../digest/digest.ts';

/** What is known of a blob that is to be read or written. A Descriptor of a manifest is one. */
export interface BlobInfo {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly mediaType?: string | undefined;
  /** Foreign locations of the content (http or https); never asked with credentials. */
  readonly urls?: readonly string[] | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** A manifest as it is stored: the bytes are the truth, and the digest is that of the bytes. */
export interface RawManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** Blobs that an archive of what is new leaves out, because whoever imports it has them. */
export interface LeftOutBlobs {
  readonly digests: ReadonlySet<Digest>;
  /** The images that have them, for messages: `docker://registry.test/app:v1@sha256:…`. */
  readonly since: readonly string[];
}

/** Options of everything that waits. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
}
