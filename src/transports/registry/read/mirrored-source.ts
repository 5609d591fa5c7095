import type { Digest } from '../../../digest/digest.ts';
import { ImgcopyError, isAbort } from '../../../errors/imgcopy-error.ts';
import { dumpBody, isPassing, isPassingAnswer, isRateLimit, NetworkError, type Fallback } from '../../../http/index.ts';
import type { Descriptor } from '../../../manifest/descriptor.ts';
import { formatRegistryReference, type RegistryReference } from '../../../reference/registry-reference.ts';
import type {
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
} from '../../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../../contract/blob-info.ts';
import { BadPartialRequestError } from '../../../contract/errors.ts';
import {
  repositoryText,
  type BlobStream,
  type GetBlobOptions,
  type GetManifestOptions,
  type ImageSource,
  type RepositoryName,
  type ListReferrersOptions,
} from '../../../contract/image-source.ts';
import type { RegistryAccess } from '../registry-access.ts';
import type { Endpoint } from '../registry-endpoint.ts';
import { RegistryError } from '../registry-error.ts';
import { openRegistrySource, type RegistrySource, type RegistrySourceOptions } from '../registry-source.ts';
import type { BlobReader } from './blob-download.ts';

/** Opens an image that several addresses may have. Nothing is asked of a registry yet, but how to reach a loopback host. */
export async function openMirroredSource(
  access: RegistryAccess,
  reference: RegistryReference,
  endpoints: readonly Endpoint[],
  options: RegistrySourceOptions = {},
): Promise<MirroredSource> {
  const mirrors = endpoints.map(
    (endpoint) =>
      new Mirror(endpoint, (isHasty) => openRegistrySource(access, reference, endpoint, { ...options, isHasty })),
  );
  const queue = new Queue(mirrors, options);
  const { source } = await queue.ask({
    order: queue.order(reference.digest),
    what: `reaching ${formatRegistryReference(reference)}`,
    ask: () => Promise.resolve(),
    isImage: true,
    signal: options.signal,
  });
  return new MirroredSource(queue, source, reference.digest);
}

/** One address of several; it is reached when it is first asked. */
class Mirror {
  readonly address: RepositoryName;
  readonly resolvesTags: boolean;
  readonly #open: (isHasty: boolean) => Promise<RegistrySource>;
  readonly #sources = new Map<boolean, Promise<RegistrySource>>();

  constructor({ address, resolvesTags = true }: Endpoint, open: (isHasty: boolean) => Promise<RegistrySource>) {
    this.address = address;
    this.resolvesTags = resolvesTags;
    this.#open = open;
  }

  /** @param isHasty  whether it is given up at its first failure. */
  async source(isHasty: boolean): Promise<RegistrySource> {
    const known = this.#sources.get(isHasty);
    if (known !== undefined) return known;
    const opening = this.#open(isHasty);
    this.#sources.set(isHasty, opening);
    opening.catch(() => this.#sources.delete(isHasty));
    return opening;
  }

  toString(): string {
    return repositoryText(this.address);
  }
}

interface Question<T> {
  readonly order: readonly Mirror[];
  readonly what: string;
  readonly ask: (source: RegistrySource) => Promise<T>;
  /** Whether it is about the image itself: an address that does not answer is asked last from then on. Default false. */
  readonly isImage?: boolean | undefined;
  /** Whether it is about a tag: where the last address says no, nobody is asked again. Default false. */
  readonly isOfTag?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Answer<T> {
  readonly answer: T;
  readonly mirror: Mirror;
  readonly source: RegistrySource;
}

interface Refusal {
  readonly mirror: Mirror;
  readonly error: ImgcopyError;
}

/** The addresses in the order that they are asked in: that of the resolver, those that failed at the end. */
class Queue {
  readonly #mirrors: readonly Mirror[];
  readonly #options: Pick<RegistrySourceOptions, 'observer'>;
  readonly #failed = new Set<Mirror>();

  constructor(mirrors: readonly Mirror[], options: Pick<RegistrySourceOptions, 'observer'>) {
    this.#mirrors = mirrors;
    this.#options = options;
  }

  /** @param digest  of what is asked for; undefined: what a tag means. */
  order(digest: Digest | undefined): readonly Mirror[] {
    const able = this.#mirrors.filter(({ resolvesTags }) => resolvesTags || digest !== undefined);
    const sound = able.filter((mirror) => !this.#failed.has(mirror));
    return [...sound, ...able.filter((mirror) => this.#failed.has(mirror))];
  }

  /**
   * Asks one address after the other, each once and without patience. Where none answers, those whose failure may pass are asked again as the only
   * address of an image would be; those that were silent come last.
   */
  async ask<T>(question: Question<T>): Promise<Answer<T>> {
    if (question.order.length === 0) throw nobodyResolves(question);
    const refusals: Refusal[] = [];
    const answer = await this.#askEach(question, { isHasty: true, refusals });
    if (answer !== undefined) return answer;
    const isOver = question.isOfTag === true && !mayPass(refusals.at(-1));
    const again = isOver ? [] : refusals.filter(mayPass);
    const order = [...again.filter((one) => !wasSilent(one)), ...again.filter(wasSilent)].map(({ mirror }) => mirror);
    const late = await this.#askEach({ ...question, order }, { isHasty: false, refusals });
    if (late !== undefined) return late;
    throw failureOf(question, refusals);
  }

  async #askEach<T>(
    { order, what, ask, isImage = false, signal }: Question<T>,
    { isHasty, refusals }: { readonly isHasty: boolean; readonly refusals: Refusal[] },
  ): Promise<Answer<T> | undefined> {
    for (const [index, mirror] of order.entries()) {
      try {
        const source = await mirror.source(isHasty);
        const answer = await ask(source);
        this.#failed.delete(mirror);
        return { answer, mirror, source };
      } catch (error) {
        signal?.throwIfAborted();
        if (isAbort(error) || !(error instanceof ImgcopyError)) throw error;
        if (isImage || !lacksIt(error)) this.#failed.add(mirror);
        refusals.push({ mirror, error });
        const next = order[index + 1];
        if (next !== undefined) this.#tell({ address: String(mirror), what, why: error.message, next: String(next) });
      }
    }
    return undefined;
  }

  #tell(fallback: Fallback): void {
    this.#options.observer?.onFallback?.(fallback);
  }
}

/**
 * docker:// as a source, at several addresses. What one of them does not give, in whatever way, the next one is asked for: a manifest, a blob, and the
 * rest of a blob that was cut.
 */
export class MirroredSource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly #queue: Queue;
  /** Of the image, where its name has one: no tag has to be resolved then. */
  readonly #digest: Digest | undefined;
  /** The address that gave the manifest; before that, the first that could be reached. */
  #first: RegistrySource;
  /** By digest or tag; that of the image itself by neither. */
  readonly #manifests = new Map<string | undefined, Promise<RawManifest>>();
  /** Who gave what. */
  readonly #served = new Map<Digest, Mirror>();

  constructor(queue: Queue, first: RegistrySource, digest: Digest | undefined) {
    this.#queue = queue;
    this.#digest = digest;
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
    const { answer, source } = await this.#ask(this.#digest, 'the digest', {
      ...options,
      isImage: true,
      ask: (one) => one.getManifestDigest(options),
    });
    this.#first = source;
    return answer;
  }

  async getManifest(options: GetManifestOptions = {}): Promise<RawManifest> {
    const name = options.instanceDigest ?? options.tag;
    const known = this.#manifests.get(name);
    if (known !== undefined) return known;
    const reading = this.#readManifest(options);
    this.#manifests.set(name, reading);
    reading.catch(() => this.#manifests.delete(name));
    return reading;
  }

  /** Mirrors copy what was asked of them, and need not have what was signed since: the registry of the name comes first. */
  async *listReferrers(subject: Digest, options: ListReferrersOptions = {}): AsyncGenerator<Descriptor> {
    const { answer } = await this.#queue.ask({
      order: this.#queue.order(subject).toReversed(),
      what: `reading what refers to ${subject} of ${this.reference}`,
      ask: async (one) => {
        const listed: Descriptor[] = [];
        for await (const referrer of one.listReferrers(subject, options)) listed.push(referrer);
        return listed;
      },
      signal: options.signal,
    });
    yield* answer;
  }

  async findTags(tags: readonly string[], { signal }: WaitOptions = {}): Promise<readonly string[]> {
    const { answer } = await this.#queue.ask({
      order: this.#queue.order(undefined).toReversed(),
      what: `reading the tags of ${this.reference}`,
      ask: (one) => one.findTags(tags),
      signal,
    });
    return answer;
  }

  async getBlobSize(digest: Digest, options: WaitOptions = {}): Promise<number> {
    const { answer } = await this.#ask(digest, `the size of blob ${digest}`, {
      ...options,
      ask: (one) => one.getBlobSize(digest, options),
    });
    return answer;
  }

  async getBlob(info: BlobInfo, options: GetBlobOptions = {}): Promise<BlobStream> {
    const { digest } = info;
    const { answer, mirror } = await this.#ask(digest, `blob ${digest}`, {
      ...options,
      ask: (one) => one.getBlob(info, { ...options, rest: this.#restOf(digest) }),
    });
    this.#served.set(digest, mirror);
    return answer;
  }

  async getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options: GetBlobAtOptions = {},
  ): Promise<RangeAnswer> {
    const { digest } = info;
    const refusals: RangeAnswer[] = [];
    const ask = async (one: RegistrySource): Promise<RangeAnswer> => {
      const answer = await one.getBlobAt(info, chunks, { ...options, rest: this.#restOf(digest) });
      // An address that fails has said nothing of ranges.
      if (answer.kind !== 'refused' || !isPassingAnswer(answer.reason.status, [])) return answer;
      refusals.push(answer);
      throw answer.reason;
    };
    try {
      const { answer, mirror } = await this.#ask(digest, `ranges of blob ${digest}`, { ...options, ask });
      if (answer.kind !== 'refused') this.#served.set(digest, mirror);
      return answer;
    } catch (error) {
      options.signal?.throwIfAborted();
      const [refusal] = refusals;
      if (refusal === undefined) throw error;
      return refusal;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Connections belong to the RegistryAccess.
  }

  async #readManifest(options: GetManifestOptions): Promise<RawManifest> {
    const { instanceDigest, tag } = options;
    const name = instanceDigest ?? tag;
    const what = name === undefined ? 'the manifest' : `manifest ${name}`;
    const digest = name === undefined ? this.#digest : instanceDigest;
    const { answer, mirror, source } = await this.#ask(digest, what, {
      ...options,
      isImage: name === undefined,
      ask: (one) => one.getManifest(options),
    });
    if (name === undefined) this.#first = source;
    this.#served.set(answer.digest, mirror);
    return answer;
  }

  /** Whoever gave it before is asked first, but last where it gave wrong bytes. */
  #ask<T>(
    digest: Digest | undefined,
    what: string,
    {
      ask,
      isImage,
      signal,
      isFresh = false,
    }: Pick<Question<T>, 'ask' | 'isImage' | 'signal'> & Pick<GetBlobOptions, 'isFresh'>,
  ): Promise<Answer<T>> {
    const before = digest && this.#served.get(digest);
    const order = this.#queue.order(digest);
    const others = order.filter((mirror) => mirror !== before);
    return this.#queue.ask({
      order: before === undefined ? order : isFresh ? [...others, before] : [before, ...others],
      what: `reading ${what} of ${this.reference}`,
      ask,
      isImage,
      isOfTag: digest === undefined,
      signal,
    });
  }

  /** The rest of a blob that was cut is asked of the next address each time, and of the one that was cut in the end. */
  #restOf(digest: Digest): BlobReader {
    return {
      side: 'source',
      getBlob: async (_, options) => {
        const order = this.#queue.order(digest);
        const at = order.findIndex((mirror) => mirror === this.#served.get(digest)) + 1;
        const { answer, mirror } = await this.#queue.ask({
          order: [...order.slice(at), ...order.slice(0, at)],
          what: `reading the rest of blob ${digest} of ${this.reference}`,
          ask: async ({ reader }) => {
            const response = await reader.getBlob(digest, options);
            if (response.status < 300) return response;
            await dumpBody(response);
            throw new BadPartialRequestError(response.status, '', { side: 'source' });
          },
          signal: options?.signal,
        });
        this.#served.set(digest, mirror);
        return answer;
      },
    };
  }
}

/** Whether an address answers, but does not have what was asked for. */
function lacksIt(error: ImgcopyError): boolean {
  return error.kind === 'not-found' || error instanceof BadPartialRequestError;
}

/** Whether the same address may answer a second time. */
function mayPass(refusal: Refusal | undefined): boolean {
  if (refusal === undefined) return false;
  const { error } = refusal;
  if (!(error instanceof RegistryError)) return isPassing(error);
  return isPassingAnswer(error.status, error.codes) || isRateLimit(error.status, error.codes);
}

function wasSilent({ error }: Refusal): boolean {
  return error instanceof NetworkError && error.failure === 'timeout';
}

/** Of registries.conf, the registry of the name always does. */
function nobodyResolves({ what }: Pick<Question<unknown>, 'what'>): ImgcopyError {
  return new ImgcopyError(`${what}: no host in hosts.toml has the capability resolve, which tags need`, {
    code: 'ERR_HOSTS_TOML',
    kind: 'usage',
    side: 'source',
    hint: 'add resolve to the capabilities of one of the hosts, or leave out --hosts-dir',
  });
}

/** The error of the last one, which is the registry of the name unless another one was asked again; and what the others said. */
function failureOf({ what }: Pick<Question<unknown>, 'what'>, refusals: readonly Refusal[]): Error {
  const last = new Map(refusals.map(({ mirror, error }) => [mirror, error]));
  const error = refusals.at(-1)?.error;
  if (error === undefined) throw new Error('nobody was asked');
  const others = [...last.values()].filter((other) => other !== error);
  // One address alone failed: its error says it all.
  if (others.length === 0) return error;
  const said = others.map(({ message }) => message).join('; ');
  return new ImgcopyError(`${what}: ${last.size} addresses were asked; ${said}`, { code: error.code, cause: error });
}
