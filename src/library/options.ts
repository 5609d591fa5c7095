import type { Platform } from '../manifest/descriptor.ts';
import type { PartialMode } from '../copy/copy-run.ts';
import type { OnCopyEvent } from '../contract/progress.ts';
import type { RequestObserver } from '../http/send/send.ts';
import type { EndpointOptions } from '../contract/endpoint-options.ts';
import type { Digest } from '../digest/digest.ts';
import type { Transport } from '../transports/transport.ts';

/** What the copies of one copier share. */
export interface CopierOptions {
  /** Blobs in flight, over all copies. Default 16. */
  readonly jobs?: number | undefined;
  /** Retries of one request or blob. Default 5. */
  readonly retryTimes?: number | undefined;
  /** Before the first retry, in ms; doubles with each. Default 500. */
  readonly retryDelayMs?: number | undefined;
  /** Idle time after which a transfer counts as stalled, in ms. Default 60000. */
  readonly timeoutMs?: number | undefined;
  /** Bytes a second that all transfers together may take, down and up each. Default: no limit. */
  readonly limitRate?: number | undefined;
  /** Bytes a second below which a source counts as stalled, over a minute of waiting for it. 0: never. Default 1024; with `limitRate`, never. */
  readonly minRate?: number | undefined;
  /** Whether the blob info cache is read and written. Default true. */
  readonly cache?: boolean | undefined;
  /**
   * Whether podman's registries.conf counts: mirrors, blocked registries, other locations, credential helpers. Default true. `false` with `hostsDir`
   * changes nothing: that takes its place.
   */
  readonly registriesConf?: boolean | undefined;
  /** A directory in the form of containerd's certs.d (`HOST/hosts.toml`), in place of registries.conf. */
  readonly hostsDir?: string | undefined;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Hears of what goes wrong without stopping a copy. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** What references may name. Default: `transports`. */
  readonly transports?: readonly Transport[] | undefined;
}

/** How one question is asked. */
export interface QuestionOptions {
  /** How the registry is reached. */
  readonly endpoint?: EndpointOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRequest?: RequestObserver['onRequest'];
}

export interface ImageQuestionOptions extends QuestionOptions {
  /** The image for this platform. Default: the image or index itself. */
  readonly platform?: Platform | undefined;
}

export interface InspectOptions extends ImageQuestionOptions {
  /** Whether what refers to the image and to its instances is shown. Default false. */
  readonly referrers?: boolean | undefined;
}

export interface ReferrersOptions extends ImageQuestionOptions {
  /** Only these types, with `*` and `?`; cosign's tags are `sig`, `att` and `sbom`. Default: all. */
  readonly types?: readonly string[] | undefined;
}

/** Of a question that is asked with a copier of its own. */
export interface QueryOptions extends QuestionOptions, CopierOptions {}

/** Of a question about an image that is asked with a copier of its own. */
export interface ImageQueryOptions extends ImageQuestionOptions, CopierOptions {}

export interface CopyOptions {
  readonly source?: EndpointOptions | undefined;
  readonly destination?: EndpointOptions | undefined;
  /**
   * What to call the destination, where one source feeds several: events, errors and the result carry it, and messages name it. Default: none, and
   * messages say `destination`.
   */
  readonly destinationId?: string | undefined;
  /** Only these; one copies that image alone, several an index of just these. Default: all. */
  readonly platforms?: readonly Platform[] | undefined;
  /** Keep the source's index as it is, although not all its instances are copied. Default false. */
  readonly sparse?: boolean | undefined;
  /** Leave names that exist unchanged; each of `additionalTags` is decided on its own. Default false. */
  readonly noClobber?: boolean | undefined;
  /** Check every blob, even where the destination has this manifest. Default false. */
  readonly force?: boolean | undefined;
  /** When blobs are built from pieces. Default `auto`. */
  readonly partial?: PartialMode | undefined;
  /** Store layers that are kept at foreign URLs (Windows' base layers) at the destination as well. Default false. */
  readonly allowNondistributableArtifacts?: boolean | undefined;
  readonly removeSignatures?: boolean | undefined;
  /** Fail rather than change the manifest. Default false; it only changes where another option asks for it. */
  readonly preserveDigests?: boolean | undefined;
  /** Reuse blobs of the same content in another compression; the manifest, and so the digest, changes. Default false. */
  readonly substitute?: boolean | undefined;
  /**
   * Copy what refers to the image and to its instances as well: manifests with a subject, and cosign's tags; and what refers to that. Default false.
   */
  readonly referrers?: boolean | undefined;
  /** Only referrers of these types, with `*` and `?`; cosign's tags are `sig`, `att` and `sbom`. Asks for referrers. Default: all. */
  readonly referrerTypes?: readonly string[] | undefined;
  /**
   * Images that whoever imports an archive has: their layers are left out of it. For archives as destinations alone. They are read with the options of
   * the source. Default: none.
   */
  readonly since?: readonly string[] | undefined;
  /**
   * Fail before the first write where more bytes of blobs would have to be sent or written than this. Mounts count as granted. Default: no limit.
   */
  readonly maxBytes?: number | undefined;
  /**
   * Write the destination's own name only where it is at this digest, or with `none` does not exist. Checked before the first write, and right before the
   * name is written. Default: whatever is there.
   */
  readonly ifDigest?: Digest | 'none' | undefined;
  /**
   * Fail before the first write where nothing of one of these types refers to the image, or to each image of its index; with `*` and `?`. Whether it is
   * valid, or who made it, is not checked. Default: none is needed.
   */
  readonly requiredReferrers?: readonly string[] | undefined;
  /** Further tags for the destination, a registry. */
  readonly additionalTags?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: OnCopyEvent | undefined;
  readonly onRequest?: RequestObserver['onRequest'];
}

/** What a copy came to; sizes are in bytes. */
export interface CopyResult {
  readonly source: string;
  readonly destination: string;
  /** As the options gave it. */
  readonly destinationId?: string | undefined;
  /** The destination pinned by digest, e.g. `docker://host/name@sha256:…`. */
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly size: number;
  /** What docker calls the image ID: the digest of its config. Null for what is not one container image, and where its manifest was not read. */
  readonly imageId: Digest | null;
  readonly durationMs: number;
  readonly manifests: number;
  readonly blobs: {
    readonly total: number;
    readonly reused: number;
    readonly mounted: number;
    readonly partial: number;
    readonly copied: number;
    /** Those that `since` has left out of an archive; absent where there are none. */
    readonly leftOut?: number;
  };
  readonly bytes: {
    readonly total: number;
    readonly fetched: number;
    readonly reused: number;
    readonly uploaded: number;
  };
  readonly requests: { readonly source: number; readonly destination: number };
  readonly retries: number;
  /** The addresses of the source that manifests and blobs were read from: with mirrors, more than one. Empty for a directory, and where nothing was read. */
  readonly servedFrom: readonly {
    /** `host[:port]/name` */
    readonly address: string;
    readonly manifests: number;
    readonly blobs: number;
    readonly bytes: number;
  }[];
  /** Where they were asked for: how many were found, how many of them were written now, and how many are listed at the source and not there. */
  readonly referrers?: { readonly total: number; readonly copied: number; readonly missing: number };
  /** `same`: the destination had this image; `exists`: it had one, which must not be replaced; else null. */
  readonly skipped: 'same' | 'exists' | null;
}

/** What became of one of several destinations: its result, or why it failed. */
export type DestinationOutcome =
  | { readonly destinationId: string; readonly result: CopyResult; readonly error?: undefined }
  | { readonly destinationId: string; readonly result?: undefined; readonly error: Error };
