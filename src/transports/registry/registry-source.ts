import type { Readable } from 'node:stream';
import { ContentMismatchError, digestAlgorithm, digestOf, type Digest, WRONG_BYTES_HINT } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import {
  compose,
  header,
  LONG_BODY,
  type HttpResponse,
  type RequestObserver,
  type RetryPolicy,
  type Send,
} from '../../http/index.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { isForeignLayer } from '../../manifest/media-types.ts';
import { manifestDigest, parseManifest, type Manifest } from '../../manifest/parse-manifest.ts';
import { formatRegistryReference, type RegistryReference } from '../../reference/registry-reference.ts';
import type {
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../contract/blob-chunk-accessor.ts';
import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import type {
  BlobStream,
  GetBlobOptions,
  GetManifestOptions,
  ImageSource,
  ListReferrersOptions,
  RepositoryName,
} from '../../contract/image-source.ts';
import { explainMismatch } from '../../contract/errors.ts';
import { resumingChunks, resumingStream, type BlobReader } from './read/blob-download.ts';
import { registryBlobRanges, type RegistryBlobRanges } from './read/blob-ranges.ts';
import { DigestTags } from './read/digest-tags.ts';
import { RegistryReferrers } from './read/referrers.ts';
import { listTagPages, type TagPage } from './read/tag-list.ts';
import { RegistryClient } from './client.ts';
import { hasten } from './hasten.ts';
import type { RegistryAccess } from './registry-access.ts';
import type { Endpoint } from './registry-endpoint.ts';
import { RegistryError } from './registry-error.ts';

export interface RegistrySourceOptions extends WaitOptions {
  readonly observer?: RequestObserver | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  /** Whether there is somebody else to ask: it is asked once, and given up after ten seconds of silence. Default false. */
  readonly isHasty?: boolean | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Opens an image at one address for reading. Nothing is asked of the registry yet, but how to reach a loopback host. */
export async function openRegistrySource(
  access: RegistryAccess,
  reference: RegistryReference,
  endpoint: Endpoint,
  options: RegistrySourceOptions = {},
): Promise<RegistrySource> {
  const { registry, repository } = endpoint.address;
  const scopes = [`repository:${repository}:pull`];
  const { observer, signal, isHasty = false } = options;
  const { origin, send, sendAnonymous } = await access.reach(registry, {
    ...endpoint,
    observer,
    signal,
    side: 'source',
    scopes,
  });
  const { apiRoot, namespace } = endpoint;
  const client = new RegistryClient({
    origin,
    repository,
    apiRoot,
    namespace,
    side: 'source',
    send: isHasty ? compose(send, hasten) : send,
  });
  return new RegistrySource(client, reference, {
    address: endpoint.address,
    policy: access.policy,
    sendAnonymous,
    observer: options.observer,
    cache: options.cache,
    isHasty,
    tagPages: () => listTagPages({ origin, send }, repository, { apiRoot, namespace, signal }),
    onWarning: options.onWarning,
  });
}

/** Who is asked for the rest of a blob that was cut. Default: the address that began it. */
export interface RestOptions {
  readonly rest?: BlobReader | undefined;
}

interface ManifestOptions extends WaitOptions {
  readonly maxBytes: number | undefined;
}

interface SourceOptions {
  /** Where the image is read from, whatever its name is. */
  readonly address: RepositoryName;
  readonly policy: RetryPolicy;
  readonly sendAnonymous: Send;
  readonly observer?: RequestObserver | undefined;
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  readonly isHasty: boolean;
  /** The tags of the repository. */
  readonly tagPages: () => AsyncIterable<TagPage>;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** docker:// as a source, at one address. */
export class RegistrySource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly metersManifestReads: boolean;
  readonly #address: RepositoryName;
  readonly #client: RegistryClient;
  readonly #name: string;
  readonly #digest: Digest | undefined;
  readonly #options: SourceOptions;
  readonly #ranges: RegistryBlobRanges;
  readonly #manifests = new Map<string, Promise<RawManifest>>();
  readonly #tags: DigestTags;
  readonly #referrers: RegistryReferrers;

  constructor(client: RegistryClient, reference: RegistryReference, options: SourceOptions) {
    this.#client = client;
    this.reference = formatRegistryReference(reference);
    this.#address = options.address;
    this.metersManifestReads = options.address.registry === 'docker.io';
    this.#digest = reference.digest;
    this.#name = reference.digest ?? reference.tag ?? 'latest';
    this.#options = options;
    this.#ranges = registryBlobRanges(client, { ...options, registry: options.address.registry });
    const { tagPages, onWarning } = options;
    this.#tags = new DigestTags({ [Symbol.asyncIterator]: () => tagPages()[Symbol.asyncIterator]() });
    this.#referrers = new RegistryReferrers(client, { tags: this.#tags, onWarning });
  }

  get rangeSupport(): RangeSupport {
    return this.#ranges.rangeSupport;
  }

  get roundTripMs(): number | undefined {
    return this.#client.roundTripMs;
  }

  servedFrom(): RepositoryName {
    return this.#address;
  }

  async getManifestDigest(options: WaitOptions = {}): Promise<Digest | undefined> {
    if (this.#digest !== undefined) return this.#digest;
    return (await this.#client.headManifest(this.#name, options))?.digest;
  }

  async getManifest({ instanceDigest, tag, size, signal }: GetManifestOptions = {}): Promise<RawManifest> {
    const name = instanceDigest ?? tag ?? this.#name;
    const expected = instanceDigest ?? (tag === undefined ? this.#digest : undefined);
    let manifest = this.#manifests.get(name);
    if (manifest === undefined) {
      manifest = this.#fetchManifest(name, expected, { maxBytes: size, signal });
      manifest.catch(() => this.#manifests.delete(name));
      this.#manifests.set(name, manifest);
    }
    return manifest;
  }

  listReferrers(subject: Digest, options?: ListReferrersOptions): AsyncIterable<Descriptor> {
    return this.#referrers.list(subject, options);
  }

  findTags(tags: readonly string[]): Promise<readonly string[]> {
    return this.#tags.mayExist(tags);
  }

  async getBlobSize(digest: Digest, options: WaitOptions = {}): Promise<number> {
    const presence = await this.#client.headBlob(digest, options);
    if (presence !== 'unknown' && !presence.present) throw lacksBlob(this.reference, digest);
    const size = presence === 'unknown' ? await this.#sizeByGet(digest, options) : presence.size;
    if (size !== undefined && Number.isSafeInteger(size)) return size;
    throw new ImgcopyError(`cannot find out the size of blob ${digest} of ${this.reference}`, {
      code: 'ERR_BLOB_SIZE',
      side: 'source',
    });
  }

  /** A blob's answer as it is, to a request for the whole of it or a range. */
  get reader(): BlobReader {
    return this.#client;
  }

  async getBlob(
    info: BlobInfo,
    { cache, signal, isFresh, givesBack, rest }: GetBlobOptions & RestOptions = {},
  ): Promise<BlobStream> {
    const { reader, response } = await this.#openBlob(info, {
      signal,
      isFresh,
      givesBack,
      isShort: info.size < LONG_BODY,
    });
    if (reader === this.#client) cache?.recordKnownLocation(info.digest, this.#address);
    const contentEncoding = header(response, 'content-encoding');
    const length = Number(response.headers['content-length']);
    const size = Number.isSafeInteger(length) ? length : undefined;
    if (size !== undefined && size !== info.size) {
      response.body.on('error', () => undefined).destroy();
      throw explainMismatch(
        new ContentMismatchError(
          `blob ${info.digest} has the wrong size at ${this.reference}`,
          `${info.size} bytes`,
          `${size} bytes`,
          { hint: WRONG_BYTES_HINT },
        ),
        contentEncoding,
      );
    }
    const client = reader === this.#client ? (rest ?? reader) : reader;
    const { policy, observer } = this.#options;
    const options = { policy, observer, signal };
    let stream: Readable | undefined;
    return {
      get stream() {
        return (stream ??= resumingStream(client, info.digest, info.size, response, options));
      },
      get chunks() {
        return resumingChunks(client, info.digest, info.size, response, options);
      },
      size,
      contentEncoding,
    };
  }

  getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options?: GetBlobAtOptions & RestOptions,
  ): Promise<RangeAnswer> {
    return this.#ranges.getBlobAt(info, chunks, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Connections belong to the RegistryAccess.
  }

  async #fetchManifest(name: string, expected: Digest | undefined, options: ManifestOptions): Promise<RawManifest> {
    try {
      return await this.#readManifest(name, expected, options);
    } catch (error) {
      // A cache on the way may hold other bytes than the registry.
      const { isHasty, policy } = this.#options;
      if (!isOfWrongBytes(error) || isHasty || policy.retries === 0) throw error;
      return await this.#readManifest(name, expected, { ...options, isFresh: true });
    }
  }

  async #readManifest(
    name: string,
    expected: Digest | undefined,
    options: ManifestOptions & Pick<GetBlobOptions, 'isFresh'>,
  ): Promise<RawManifest> {
    const { bytes, mediaType: declared } = await this.#client.getManifest(name, options);
    const wrong = (found: Digest): ContentMismatchError =>
      new ContentMismatchError(`the manifest of ${this.reference} does not match its digest`, expected ?? '', found, {
        hint: WRONG_BYTES_HINT,
      });
    let mediaType: string;
    try {
      ({ mediaType } = parsedManifest(this.reference, bytes, declared));
    } catch (error) {
      const found = digestOf(bytes, expected && digestAlgorithm(expected));
      throw expected === undefined || found === expected ? error : wrong(found);
    }
    const digest = manifestDigest(bytes, mediaType, expected && digestAlgorithm(expected));
    if (expected !== undefined && digest !== expected) throw wrong(digest);
    return { bytes, mediaType, digest };
  }

  /** Not every registry answers HEAD for blobs; what it says to a GET tells more of the reason. */
  async #sizeByGet(digest: Digest, options: WaitOptions): Promise<number | undefined> {
    const response = await this.#client.getBlob(digest, options);
    response.body.on('error', () => undefined).destroy();
    const length = header(response, 'content-length');
    return length === undefined ? undefined : Number(length);
  }

  /** A blob's answer, and who is to be asked for the rest should it be cut. */
  async #openBlob(
    info: BlobInfo,
    options: Pick<GetBlobOptions, 'signal' | 'isFresh' | 'givesBack'> & { readonly isShort: boolean },
  ): Promise<{ readonly reader: BlobReader; readonly response: HttpResponse }> {
    const { digest } = info;
    if (!isForeignLayer(info)) return { reader: this.#client, response: await this.#client.getBlob(digest, options) };
    const { ForeignLayer } = await import('./read/foreign-layer.ts');
    const { sendAnonymous: send, policy, observer } = this.#options;
    const reader = new ForeignLayer(info, { send, registryOrigin: this.#client.origin, policy, observer });
    try {
      return { reader, response: await reader.getBlob(digest, options) };
    } catch (error) {
      options.signal?.throwIfAborted();
      const response = await this.#client.getBlob(digest, options).catch((lacking: unknown) => {
        throw lacking instanceof RegistryError && lacking.status === 404 ? foreignLayerMissing(info, error) : lacking;
      });
      return { reader: this.#client, response };
    }
  }
}

function lacksBlob(reference: string, digest: Digest): ImgcopyError {
  return new ImgcopyError(`${reference} lacks blob ${digest}`, {
    code: 'ERR_BLOB_NOT_FOUND',
    kind: 'not-found',
    side: 'source',
    hint: 'the image there is not complete; push or copy it there again',
  });
}

function foreignLayerMissing({ digest }: BlobInfo, cause: unknown): ImgcopyError {
  return new ImgcopyError(`foreign layer ${digest} is neither at its own URLs nor in the registry`, {
    code: 'ERR_FOREIGN_LAYER_MISSING',
    kind: 'failed',
    side: 'source',
    hint: 'check that this machine can reach the URLs that the manifest names: imgcopy inspect --raw shows them',
    cause,
  });
}

/** Other bytes than those of the digest; or what is no manifest, or longer than one may be: a page of a proxy, say. */
function isOfWrongBytes(error: unknown): boolean {
  return error instanceof ImgcopyError && WRONG_BYTES.has(error.code);
}

const WRONG_BYTES: ReadonlySet<string> = new Set([
  'ERR_CONTENT_MISMATCH',
  'ERR_INVALID_MANIFEST',
  'ERR_ANSWER_TOO_LARGE',
]);

function parsedManifest(reference: string, bytes: Buffer, declared: string): Manifest {
  try {
    return parseManifest(bytes, declared);
  } catch (error) {
    throw new ImgcopyError(`reading the manifest of ${reference}`, {
      code: error instanceof ImgcopyError ? error.code : 'ERR_INVALID_MANIFEST',
      side: 'source',
      hint: 'check host and port: the server may not be a registry',
      cause: error,
    });
  }
}
