import type { Side } from '../../errors/imgcopy-error.ts';
import type { Send } from '../../http/index.ts';
import type { WaitOptions } from '../../contract/blob-info.ts';

export interface RegistryClientOptions {
  /** `scheme://host[:port]` of the registry. */
  readonly origin: string;
  readonly repository: string;
  readonly side: Side;
  /** Authenticates, retries and follows redirects. */
  readonly send: Send;
}

/** The answer to a request for a blob by HEAD: not every registry lets one ask. */
export type BlobPresence =
  { readonly present: true; readonly size: number | undefined } | { readonly present: false } | 'unknown';

export interface SendBlobOptions extends WaitOptions {
  /** In bytes; default: sent chunked, or the length of the bytes. */
  readonly length?: number | undefined;
  /** Where these bytes lie in the blob, `start-end` inclusive, for an upload in several requests. */
  readonly contentRange?: string | undefined;
  readonly headersTimeoutMs?: number | undefined;
  readonly retries?: number | undefined;
}

/** An upload that a registry has opened: its URL is replaced by each answer. */
export interface UploadLocation {
  readonly url: URL;
  /** What every request but the last has to carry at least, in bytes, where the registry says so. */
  readonly minChunkBytes?: number | undefined;
}

/** How far an upload came, in bytes, and where it is now; or that it is gone, or that the registry does not say. */
export type UploadStatus = { readonly offset: number; readonly upload: UploadLocation } | 'gone' | 'unknown';
