import type { Readable } from 'node:stream';
import type { MemoryAccount } from '../io/memory.ts';
import type { Digest } from '../digest/digest.ts';
import type { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Platform } from '../manifest/descriptor.ts';
import type { BlobChunkAccessor, BlobRange } from './blob-chunk-accessor.ts';
import type { CompressionAlgorithm } from '../manifest/layer-compression.ts';
import type { BlobInfoCache } from './blob-info-cache.ts';
import type { BlobInfo, RawManifest, WaitOptions } from './blob-info.ts';
import type { Concurrency, RepositoryName } from './image-source.ts';

/** A blob as it is now at the destination. */
export interface UploadedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
}

export interface TryReusingBlobOptions extends WaitOptions {
  readonly cache?: BlobInfoCache | undefined;
  /** Whether an equivalent blob (same uncompressed content, other compression) may be returned. Default false. */
  readonly canSubstitute?: boolean | undefined;
  /** The media type of the manifest that will name the blob: what cannot be said in it is not substituted. */
  readonly manifestMediaType?: string | undefined;
  /** The destination was wrong about this blob: only what a look at the blob itself shows counts now. Default false. */
  readonly lookOnly?: boolean | undefined;
  /** Only ask: nothing is mounted, opened or written. Default false. */
  readonly probe?: boolean | undefined;
  /** Where the blob is read from; a destination on the same registry mounts it from there. */
  readonly srcRef?: RepositoryName | undefined;
}

/** How a substituted blob differs from the original. */
export type CompressionOperation = 'compress' | 'decompress' | 'recompress';

export type ReusedBlob =
  /** A probe tells where a mount may be tried from: another repository of the registry. */
  | { readonly reused: false; readonly mountFrom?: string | undefined }
  | {
      readonly reused: true;
      readonly digest: Digest;
      /** In bytes. */
      readonly size: number;
      /** Set when the registry took the blob over from another of its repositories. */
      readonly mountedFrom?: string | undefined;
      /** A probe tells where a copy tries a mount from first, although nothing would have to be sent. */
      readonly mountFrom?: string | undefined;
      /** It is not there, and is not to be: whoever reads what is written has it. Default false. */
      readonly isLeftOut?: boolean | undefined;
      /** Both set when another blob than the one asked for is reused. */
      readonly compressionOperation?: CompressionOperation | undefined;
      readonly compressionAlgorithm?: CompressionAlgorithm | undefined;
    };

/** Where a layer stands in one image. */
export interface LayerPlace {
  /** From 0; undefined for what is no layer. */
  readonly layerIndex: number | undefined;
  /** Of the image, where an index says so. */
  readonly platform: Platform | undefined;
}

export interface PutBlobPartialOptions extends WaitOptions {
  readonly cache?: BlobInfoCache | undefined;
  /** Of the image that the layer belongs to, where an index says so. */
  readonly platform?: Platform | undefined;
  /** Whether pieces of other blobs are used, which a distant destination is slow to give. Default true. */
  readonly reusePieces?: boolean | undefined;
  /** Of this blob: what is held of its bytes is taken from here. */
  readonly memory: MemoryAccount;
  /** Position among the layers, from 0. */
  readonly layerIndex?: number | undefined;
  /** All places that are known by now, the one above included: images of an index may share a layer. */
  readonly places?: readonly LayerPlace[] | undefined;
}

/** Where a stretch of a blob comes from. */
export interface PlannedPiece extends BlobRange {
  /** `resume`: an interrupted run left it. `reuse`: it is in another blob of the destination. `fetch`: the source gives it, or has given it for the plan. */
  readonly kind: 'resume' | 'reuse' | 'fetch';
  /** The blob that it is reused from. */
  readonly blob?: Digest | undefined;
}

/** How a destination will create a blob. It may hold memory, and a stream that has begun: to be disposed of. What it says stays. */
export interface PartialPlan extends Disposable {
  /** In the order of the blob, without gap or overlap, from its first byte to its last. */
  readonly pieces: readonly PlannedPiece[];
  /** Bytes that come from the source, those included that it has sent for the plan. */
  readonly bytesToFetch: number;
  /** Bytes that come from other blobs of the destination. */
  readonly bytesReused: number;
  /** Bytes that an interrupted run left, as far as is known: a registry is only asked when the blob is put. */
  readonly bytesResumed: number;
}

export interface PartialBlob extends UploadedBlob {
  /** Bytes of the blob that came from data at the destination instead of the source. */
  readonly bytesReused: number;
  /** How many of them an interrupted run had left of this blob. Default 0. */
  readonly bytesResumed?: number | undefined;
}

export interface PutBlobOptions extends WaitOptions {
  readonly cache?: BlobInfoCache | undefined;
  /** Of this blob: what is held of its bytes is taken from here. */
  readonly memory?: MemoryAccount | undefined;
}

/** What is promised of a stream that is put. */
export interface PutBlobInfo {
  readonly digest?: Digest | undefined;
  /** In bytes. */
  readonly size?: number | undefined;
  readonly mediaType?: string | undefined;
}

/** What a name has to hold to be written: this digest, or nothing. */
export type IfDigest = Digest | 'none';

export interface PutManifestOptions extends WaitOptions {
  /** Set for an instance of an index: it is stored by this digest, without a name. */
  readonly instanceDigest?: Digest | undefined;
  /** A further tag to store it under, instead of the destination's own name. */
  readonly tag?: string | undefined;
  /** For the destination's own name: it is written only where it holds this at that moment. ERR_IF_DIGEST where not, with this or with the commit. */
  readonly ifDigest?: IfDigest | undefined;
  /** A hint: the same manifest will be put under these tags next. A registry may write them with the same request. */
  readonly nextTags?: readonly string[] | undefined;
}

export interface CurrentManifestOptions extends WaitOptions {
  /** A further tag to look at, instead of the destination's own name. */
  readonly tag?: string | undefined;
  /** A manifest by its digest, whatever names it, instead of the destination's own name. */
  readonly instanceDigest?: Digest | undefined;
  /** The digest will do: a registry is asked by HEAD. Default false. */
  readonly digestOnly?: boolean | undefined;
}

/** Whether a name is taken. `unknown`: the destination did not say, or what is there cannot be read. */
export type ManifestPresence =
  | { readonly state: 'present'; readonly manifest: CurrentManifest }
  | { readonly state: 'absent' }
  | { readonly state: 'unknown'; readonly reason: ImgcopyError };

/** What the destination holds under a name now. */
export interface CurrentManifest {
  readonly digest: Digest;
  readonly mediaType: string | undefined;
  /** Given where they were at hand without a further request. */
  readonly bytes: Buffer | undefined;
  /** More or less is there than a copy would leave, so it is written again even where the digest is the same. Default false. */
  readonly isToBeReplaced?: boolean | undefined;
}

/** All manifests and blobs of an image that is to be copied. */
export interface ExpectedImage {
  /** Each before those that it names, the image's own first. */
  readonly manifests: readonly RawManifest[];
  /** Each once, in the order in which a serial copy puts them. */
  readonly blobs: readonly UploadedBlob[];
}

/**
 * Where an image is written to. Named after ImageDestination of containers/image; the pipeline calls the three ways to store a blob in
 * the order of the ladder: reuse, partial, whole.
 * @see https://pkg.go.dev/go.podman.io/image/v5/internal/private#ImageDestination
 */
export interface ImageDestination extends AsyncDisposable {
  /** The image as the user names it, transport included. */
  readonly reference: string;
  /** The address that is written to, where that is a registry. */
  readonly repository?: RepositoryName | undefined;
  /**
   * Where its blobs are: another destination with the same place can take them by tryReusingBlobWithOptions, without their bytes being sent again. Absent
   * where no other destination can.
   */
  readonly blobPlace?: string | undefined;
  readonly concurrency: Concurrency;
  /** The shortest answer so far, in ms; undefined until there was one. */
  readonly roundTripMs?: number | undefined;
  /** Whether layers with foreign URLs may stay where they are, instead of being stored here. Default false. */
  readonly acceptsForeignLayerUrls?: boolean | undefined;
  /** Whether one image of an index is stored: where no platform is chosen, the one for this machine. Default false. */
  readonly onePlatform?: boolean | undefined;

  /**
   * Makes and locks what has to be there before anything is written. Called once, for a source that exists, before the image is compared with what is
   * there (`currentManifest`). Opening a destination makes and locks nothing. Absent where there is nothing to begin with. Where nothing is to be
   * written, it is not called at all: what only asks (`currentManifest`, a probe, `planBlobPartial`) has to do without.
   */
  begin?(options?: WaitOptions): Promise<void>;

  /**
   * Refuses what `begin` would refuse, or `expectImage` where there is no `begin`, as far as that shows without writing anything. A dry run calls it in
   * their place. Absent where nothing shows.
   * @throws what they throw.
   */
  checkWrite?(options?: WaitOptions): Promise<void>;

  /**
   * What is there under the destination's name now, or under `tag`. Asked again, the same answer comes without a new request.
   * @throws where the destination cannot be reached, or limits its rate; of kind `usage` for a tag where there are none.
   */
  currentManifest(options?: CurrentManifestOptions): Promise<ManifestPresence>;

  /**
   * Tells all that will come of the image. Called once, after `begin`, where the image's content is copied: before the first blob. Not called where it is
   * enough to write a name. Absent where this need not be known before `putManifest`.
   */
  expectImage?(image: ExpectedImage, options?: WaitOptions): Promise<void>;

  /**
   * Whether to ask for this blob takes a round trip and the answer will most likely be no. The pipeline then opens the source's
   * blob at the same time. Absent: never.
   */
  expectsMissing?(info: BlobInfo, options?: { readonly srcRef?: RepositoryName | undefined }): boolean;

  /**
   * Takes a blob that the destination has, or can get without its bytes being sent.
   * @throws only on an unexpected failure; what is not there is `{reused: false}`.
   */
  tryReusingBlobWithOptions(info: BlobInfo, options: TryReusingBlobOptions): Promise<ReusedBlob>;

  /**
   * How `putBlobPartial` will create a blob, without doing it: tables of contents are read, and nothing is written, opened for writing, or begun by a
   * POST. Absent where only `putBlobPartial` can tell.
   * @returns undefined when the whole blob is best sent as one stream.
   */
  planBlobPartial?(
    chunkAccessor: BlobChunkAccessor,
    srcInfo: BlobInfo,
    options: PutBlobPartialOptions,
  ): Promise<PartialPlan | undefined>;

  /**
   * Creates a blob out of data that is already at the destination, and the ranges it lacks: by `plan`, which `planBlobPartial` has made with the same
   * arguments and the caller disposes of; else it plans for itself. The result is verified against
   * `srcInfo.digest`: by hashing it, or, for a resumed upload alone, by the registry's check at the closing PUT. Absent where blobs are stored whole
   * alone.
   * @throws PartialBlobUnavailableError when the whole blob has to be sent; nothing of the attempt is visible then. Any other error ends the
   *   copy.
   */
  putBlobPartial?(
    chunkAccessor: BlobChunkAccessor,
    srcInfo: BlobInfo,
    options: PutBlobPartialOptions & { readonly plan?: PartialPlan | undefined },
  ): Promise<PartialBlob>;

  /**
   * Stores a stream as a blob. It is verified as it passes; nobody can read the blob under its digest before that is done. If it fails
   * at any time, last byte included, the call fails and nothing stays but, in a directory, a partial file that is re-hashed before use.
   */
  putBlobWithOptions(stream: Readable, info: PutBlobInfo, options: PutBlobOptions): Promise<UploadedBlob>;

  /** The same for bytes that are in memory. Absent where a stream is as good. */
  putBlobBytes?(bytes: Buffer, info: BlobInfo, options: PutBlobOptions): Promise<UploadedBlob>;

  /**
   * Stores a manifest byte for byte: under the destination's name, under `tag`, or by `instanceDigest`. A name that `currentManifest` found to
   * hold it already is not written again.
   * @throws MissingBlobsError when blobs that it names turn out not to be there; an error of kind `usage` for a tag where there are none.
   */
  putManifest(manifest: RawManifest, options?: PutManifestOptions): Promise<void>;

  /**
   * Those of the manifests that are there, and are listed among what refers to the subject. Absent where manifests that refer to others cannot be stored.
   */
  heldReferrers?(subject: Digest, referrers: readonly Digest[], options?: WaitOptions): Promise<ReadonlySet<Digest>>;

  /**
   * Takes note of a manifest with a subject that is there already: with the commit, it is listed among what refers to its subject. putManifest does the
   * same. Absent where nothing has to be done for that.
   */
  noteReferrer?(manifest: RawManifest): void;

  /**
   * Stores the image's signatures, or those of an instance. Called after putManifest, or alone where the image is there already; for the image
   * itself with an empty list as well. With the commit, the signatures that were not put are gone. Absent where there is no place for signatures.
   */
  putSignaturesWithFormat?(
    signatures: readonly Buffer[],
    options?: Pick<PutManifestOptions, 'instanceDigest' | 'signal'>,
  ): Promise<void>;

  /**
   * Makes the image visible under its name, where putManifest has not done so, and removes what it replaced. Manifests with a subject are listed among what
   * refers to that, where the place does not do so by itself. The last call. Where
   * signatures alone were put, they become those of the image that is there, and what an interrupted run left beside it is removed.
   */
  commit(options?: WaitOptions): Promise<void>;
}
