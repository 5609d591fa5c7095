import type { Digest } from '../../../digest/digest.ts';
import { ImgcopyError, isAbort } from '../../../errors/imgcopy-error.ts';
import { formatRegistryReference, type RegistryReference } from '../../../reference/registry-reference.ts';
import type {
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../../contract/blob-info.ts';
import type {
  BlobStream,
  GetBlobOptions,
  GetManifestOptions,
  ImageSource,
  RepositoryName,
} from '../../../contract/image-source.ts';
import type { RegistryAccess } from '../registry-access.ts';
import type { Endpoint } from '../registry-endpoint.ts';
import { openRegistrySource, type RegistrySource, type RegistrySourceOptions } from '../registry-source.ts';

/** Opens an image that several addresses may have. Nothing is asked of a registry yet, but how to reach a loopback host. */
export async function openMirroredSource(
  access: RegistryAccess,
  reference: RegistryReference,
  endpoints: readonly Endpoint[],
  options: RegistrySourceOptions = {},
): Promise<MirroredSource> {
  const mirrors = endpoints.map(
    (endpoint) => new Mirror(endpoint.address, () => openRegistrySource(access, reference, endpoint, options)),
  );
  const { source } = await askEach(
    mirrors,
    `reaching ${formatRegistryReference(reference)}`,
    async () => undefined,
    options,
  );
  return new MirroredSource(mirrors, source);
}

/** One address of several; it is reached when it is first asked. */
class Mirror {
  readonly address: RepositoryName;
  readonly #open: () => Promise<RegistrySource>;
  #source: Promise<RegistrySource> | undefined;

  constructor(address: RepositoryName, open: () => Promise<RegistrySource>) {
    this.address = address;
    this.#open = open;
  }

  async source(): Promise<RegistrySource> {
    this.#source ??= this.#open();
    this.#source.catch(() => (this.#source = undefined));
    return this.#source;
  }
}

interface Answer<T> {
  readonly answer: T;
  readonly mirror: Mirror;
  readonly source: RegistrySource;
}

/**
 * docker:// as a source, at several addresses. What one of them does not give, in whatever way, the next one is asked for. The one that gave the
 * manifest is asked first from then on, and for what came from it, so are the others.
 */
export class MirroredSource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'parallel';
  /** In the order of the resolver. */
  readonly #mirrors: readonly Mirror[];
  /** The address that is asked first. */
  #first: RegistrySource;
  readonly #served = new Map<Digest, Mirror>();

  /** @param first  an address that could be reached. */
  constructor(mirrors: readonly Mirror[], first: RegistrySource) {
    this.#mirrors = mirrors;
    this.#first = first;
    this.reference = first.reference;
  }

  get metersManifestReads(): boolean {
    return this.#first.metersManifestReads;
  }

  get rangeSupport(): RangeSupport {
    return this.#first.rangeSupport;
  }

  get roundTripMs(): number | undefined {
    return this.#first.roundTripMs;
  }

  servedFrom(digest?: Digest): RepositoryName {
    return (digest && this.#served.get(digest)?.address) ?? this.#first.servedFrom();
  }

  async getManifestDigest(options: WaitOptions = {}): Promise<Digest | undefined> {
    const { answer, source } = await this.#ask(
      undefined,
      'the digest',
      (one) => one.getManifestDigest(options),
      options,
    );
    this.#first = source;
    return answer;
  }

  async getManifest(options: GetManifestOptions = {}): Promise<RawManifest> {
    const { instanceDigest, tag } = options;
    const other = instanceDigest ?? tag;
    const what = other === undefined ? 'the manifest' : `manifest ${other}`;
    const { answer, mirror, source } = await this.#ask(
      instanceDigest,
      what,
      (one) => one.getManifest(options),
      options,
    );
    if (other === undefined) this.#first = source;
    this.#served.set(answer.digest, mirror);
    return answer;
  }

  async getBlobSize(digest: Digest, options: WaitOptions = {}): Promise<number> {
    const { answer } = await this.#ask(
      digest,
      `the size of blob ${digest}`,
      (one) => one.getBlobSize(digest, options),
      options,
    );
    return answer;
  }

  async getBlob(info: BlobInfo, options: GetBlobOptions = {}): Promise<BlobStream> {
    const { digest } = info;
    const { answer, mirror } = await this.#ask(digest, `blob ${digest}`, (one) => one.getBlob(info, options), options);
    this.#served.set(digest, mirror);
    return answer;
  }

  async getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options: GetBlobAtOptions = {},
  ): Promise<RangeAnswer> {
    const { digest } = info;
    const ask = (one: RegistrySource): Promise<RangeAnswer> => one.getBlobAt(info, chunks, options);
    const { answer, mirror } = await this.#ask(digest, `ranges of blob ${digest}`, ask, options);
    if (answer.kind !== 'refused') this.#served.set(digest, mirror);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Connections belong to the RegistryAccess.
  }

  /** Asks who gave it before, or else who gave the manifest; then the others in order. */
  #ask<T>(
    digest: Digest | undefined,
    what: string,
    ask: (source: RegistrySource) => Promise<T>,
    { signal, isFresh }: Pick<GetBlobOptions, 'signal' | 'isFresh'>,
  ): Promise<Answer<T>> {
    const before = digest && this.#served.get(digest);
    const first = before?.address ?? this.#first.servedFrom();
    const [own, others] = [true, false].map((isFirst) =>
      this.#mirrors.filter(({ address }) => (address === first) === isFirst),
    );
    // Who gave wrong bytes comes last.
    const order = isFresh && before !== undefined ? [others, own] : [own, others];
    return askEach(
      order.flatMap((mirrors = []) => mirrors),
      `reading ${what} of ${this.reference}`,
      ask,
      { signal },
    );
  }
}

async function askEach<T>(
  mirrors: readonly Mirror[],
  what: string,
  ask: (source: RegistrySource) => Promise<T>,
  { signal }: WaitOptions,
): Promise<Answer<T>> {
  const failures: string[] = [];
  let last: unknown;
  for (const mirror of mirrors) {
    try {
      const source = await mirror.source();
      return { answer: await ask(source), mirror, source };
    } catch (error) {
      signal?.throwIfAborted();
      if (isAbort(error) || !(error instanceof ImgcopyError)) throw error;
      if (last instanceof ImgcopyError) failures.push(last.message);
      last = error;
    }
  }
  if (!(last instanceof ImgcopyError)) throw new Error('a name has no endpoint');
  // One address alone failed: its error says it all.
  if (failures.length === 0) throw last;
  throw new ImgcopyError(`${what}: ${mirrors.length} addresses were asked; ${failures.join('; ')}`, {
    code: last.code,
    cause: last,
  });
}
