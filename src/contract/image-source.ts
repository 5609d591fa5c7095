import type { Readable } from 'node:stream';
import type { Digest } from '../digest/digest.ts';
import type { BlobChunkAccessor, BlobStream } from './blob-chunk-accessor.ts';
import type { BlobInfoCache } from './blob-info-cache.ts';
import type { Descriptor } from '../manifest/descriptor.ts';
import type { BlobInfo, LeftOutBlobs, RawManifest, WaitOptions } from './blob-info.ts';

export type { BlobStream };

/**
 * Whether blobs may be moved side by side, or come or go in one stream (a tar in a pipe): then one at a time, in the order that the manifests name
 * them, layers before the config. None is opened before its turn, nor a second time once its bytes have moved.
 */
export type Concurrency = 'parallel' | 'serial';

/** The name of an image in a registry, as far as a mount needs it. */
export interface RepositoryName {
  /** `host[:port]`. */
  readonly registry: string;
  readonly repository: string;
}

/** A layer in a stream that comes before the manifest: nobody knows yet whether the image has it. */
export interface BlobAhead extends Pick<BlobInfo, 'digest' | 'size'> {
  /**
   * Reads it from its first byte: what has come, and the rest as it comes. The next time, for a retry, it waits until all has come. It is not verified,
   * and can be read until the source is disposed of.
   */
  open(options?: WaitOptions): Readable;
}

export type OnBlobAhead = (blob: BlobAhead) => void;

export interface GetBlobOptions extends WaitOptions {
  /** Past any cache on the way, for the bytes were wrong the last time. Default false. */
  readonly isFresh?: boolean | undefined;
  readonly cache?: BlobInfoCache | undefined;
  /** Whether who reads keeps none of the bytes, and gives them back (`io/slabs.ts`). Default false. */
  readonly givesBack?: boolean | undefined;
}

export interface GetManifestOptions extends WaitOptions {
  /** An instance of the index, instead of the image's own manifest. */
  readonly instanceDigest?: Digest | undefined;
  /** Another image of the same repository, instead of the source's own. It need not be there. */
  readonly tag?: string | undefined;
  /** As the instance's descriptor says, in bytes: no more than that is read. */
  readonly size?: number | undefined;
}

export interface ListReferrersOptions extends WaitOptions {
  /** Only these are wanted: a source may leave out others, and need not. */
  readonly artifactType?: string | undefined;
}

/**
 * Where an image is read from. Named after ImageSource of containers/image.
 * @see https://pkg.go.dev/go.podman.io/image/v5/types#ImageSource
 */
export interface ImageSource extends AsyncDisposable {
  /** The image as the user names it, transport included: for messages and results. */
  readonly reference: string;
  /** The name that the image has there, or its tag, where it was asked for without one. Absent where it has none. */
  readonly tag?: string | undefined;
  /** Registry, repository and tag, as docker, podman and containerd store them beside the image. Absent where that is not known. */
  readonly fullName?: string | undefined;
  readonly concurrency: Concurrency;
  /** The shortest answer so far, in ms; undefined until there was one. */
  readonly roundTripMs?: number | undefined;
  /** Whether reading a manifest counts against a quota that asking for its digest does not (Docker Hub's pulls). Default false. */
  readonly metersManifestReads?: boolean | undefined;
  /** Whether some images of its index are not there: where no platform is chosen, the one for this machine is read. Default false. */
  readonly onePlatform?: boolean | undefined;
  /** Blobs that manifests name and the source was made without: the destination has to have them. Absent where all are there. */
  readonly leftOut?: LeftOutBlobs | undefined;

  /**
   * The address of a registry that a blob or manifest came from, or else the one that would be asked for it first: which need not be the registry of
   * the name. A destination on the same registry mounts from there. Absent where the source is not a registry.
   * @param digest  default: whatever would be asked for next.
   */
  servedFrom?(digest?: Digest): RepositoryName | undefined;

  /**
   * The digest of the image's manifest, by a HEAD or less where that will do; undefined when only the manifest itself can tell. Absent: so it is
   * always.
   */
  getManifestDigest?(options?: WaitOptions): Promise<Digest | undefined>;

  /**
   * The image's manifest, or one of its instances, or what `tag` names beside it. Bytes are checked against the digest they were asked by (instance, or reference with a
   * digest); asked again, the same answer comes without a new request.
   * @throws ImgcopyError of kind `not-found` where the image does not exist, `integrity` where digest and bytes disagree, `usage` for a tag where there
   *   are none;
   *   of kind `integrity` or of code ERR_ANSWER_TOO_LARGE where there are more than `size` bytes.
   */
  getManifest(options?: GetManifestOptions): Promise<RawManifest>;

  /**
   * The size of a blob that is there, in bytes: by a HEAD, or a look at its file. Absent where only its bytes can tell.
   * @throws ImgcopyError of kind `not-found` where the blob is missing, ERR_BLOB_SIZE where the place does not tell its size.
   */
  getBlobSize?(digest: Digest, options?: WaitOptions): Promise<number>;

  /** The signatures stored beside the image, each as its file's bytes. Absent where the transport cannot store them. */
  getSignaturesWithFormat?(options?: Pick<GetManifestOptions, 'instanceDigest' | 'signal'>): Promise<readonly Buffer[]>;

  /**
   * The manifests that have this one as their subject, as far as the place lists them. What is listed need not be there. Absent where manifests that refer
   * to others cannot be stored.
   */
  listReferrers?(subject: Digest, options?: ListReferrersOptions): AsyncIterable<Descriptor>;

  /**
   * Those of the tags that exist beside the image, and maybe some that do not: getManifest tells for certain. Absent where there are no tags.
   */
  findTags?(tags: readonly string[], options?: WaitOptions): Promise<readonly string[]>;

  /**
   * A blob from its first byte on. The stream is not verified; who consumes it verifies. Lost connections are taken up again at
   * their offset; what cannot be mended is an error of the stream.
   */
  getBlob(info: BlobInfo, options?: GetBlobOptions): Promise<BlobStream>;

  /** Parts of a blob. Absent where only whole blobs are to be had. */
  readonly getBlobAt?: BlobChunkAccessor['getBlobAt'] | undefined;
  /** What is known of how `getBlobAt` is answered. Present where that is. */
  readonly rangeSupport?: BlobChunkAccessor['rangeSupport'] | undefined;

  /**
   * The copy has all that it wanted, or found that it wants nothing: what is left of a stream is read, for its writer would fail if nobody read it. Absent
   * where nothing is left to be done.
   */
  finish?(options?: WaitOptions): Promise<void>;
}

/** `host[:port]/name`, for messages and events. */
export function repositoryText({ registry, repository }: RepositoryName): string {
  return `${registry}/${repository}`;
}

/** Where a blob or manifest was read, as `host[:port]/name`; undefined where the source is not a registry. */
export function servedFrom(source: Pick<ImageSource, 'servedFrom'>, digest: Digest): string | undefined {
  const place = source.servedFrom?.(digest);
  return place && repositoryText(place);
}
