import type { Readable } from 'node:stream';
import type { Digest } from '../../../digest/digest.ts';
import { formatRange } from '../../../http/ranges/byte-ranges.ts';
import type { HttpResponse, RequestObserver, RetryPolicy } from '../../../http/index.ts';
import type { NextAttempt } from '../../../retry/attempts.ts';
import { checkRanges, readRanges } from '../../../http/ranges/range-reader.ts';
import type {
  BlobChunkAccessor,
  GetBlobAtOptions,
  ImageSourceChunk,
  RangeAnswer,
  RangeSupport,
  SeenRangeSupport,
} from '../../../contract/blob-chunk-accessor.ts';
import type { BlobInfo, WaitOptions } from '../../../contract/blob-info.ts';
import type { BlobInfoCache } from '../../../contract/blob-info-cache.ts';
import { BadPartialRequestError } from '../../../contract/errors.ts';
import { nowMs } from '../../../io/clock.ts';
import { resumingStream, type BlobReader } from './blob-download.ts';
import type { RegistryClient } from '../client.ts';
import { RegistryError } from '../registry-error.ts';

export interface BlobRangesOptions {
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
  /** Where what the host can do is remembered, once it is open. */
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  /** `host[:port]`. */
  readonly registry: string;
}

/** How long a refusal of ranges counts, in ms: a pull-through cache sends the whole blob the first time, and ranges of it from then on. */
const REFUSAL_MS = 60_000;
/** The answers to many ranges that are final: another way to ask would not help. */
const FINAL_STATUS: ReadonlySet<number> = new Set([401, 404, 429]);
/** Many ranges are one of several ways to ask: that they are refused is not worth many retries. */
const MANY_RANGES_RETRIES = 1;

/** What a host does with ranges: as the cache remembers it, until this run learns otherwise. That it refuses all ranges is not remembered. */
class HostRangeSupport implements RangeSupport {
  readonly isLocal = false;
  readonly #options: Pick<BlobRangesOptions, 'cache' | 'registry'>;
  readonly #roundTripMs: () => number | undefined;
  readonly #known = new Map<'ranges' | 'multi-range', boolean | undefined>();
  #refusedUntil = 0;

  constructor(options: Pick<BlobRangesOptions, 'cache' | 'registry'>, roundTripMs: () => number | undefined) {
    this.#options = options;
    this.#roundTripMs = roundTripMs;
  }

  get roundTripMs(): number | undefined {
    return this.#roundTripMs();
  }

  get ranges(): boolean | undefined {
    if (nowMs() < this.#refusedUntil) return false;
    return this.#recall('ranges') === true ? true : undefined;
  }

  get multiRange(): boolean | undefined {
    return this.#recall('multi-range');
  }

  report({ ranges, multiRange }: SeenRangeSupport): void {
    if (ranges !== undefined) this.#refusedUntil = ranges ? 0 : nowMs() + REFUSAL_MS;
    // What was known before is taken back.
    if (ranges === true || (ranges === false && this.#recall('ranges') === true)) this.#learn('ranges', ranges);
    if (multiRange !== undefined) this.#learn('multi-range', multiRange);
  }

  #recall(ability: 'ranges' | 'multi-range'): boolean | undefined {
    if (!this.#known.has(ability)) {
      const { cache, registry } = this.#options;
      const remembered = cache?.()?.hostAbility(registry, ability);
      this.#known.set(ability, remembered === undefined ? undefined : remembered === 1);
    }
    return this.#known.get(ability);
  }

  #learn(ability: 'ranges' | 'multi-range', value: boolean): void {
    if (this.#recall(ability) === value) return;
    this.#known.set(ability, value);
    this.#options.cache?.()?.recordHostAbility(this.#options.registry, ability, value ? 1 : 0);
  }
}

/** Ranges of a repository's blobs; where an answer is cut, somebody else may be asked for the rest. */
export interface RegistryBlobRanges extends BlobChunkAccessor {
  getBlobAt(
    info: BlobInfo,
    chunks: readonly ImageSourceChunk[],
    options?: GetBlobAtOptions & { readonly rest?: BlobReader | undefined },
  ): Promise<RangeAnswer>;
}

/** Reads ranges of a repository's blobs, each list of them by one GET. An answer that is cut is taken up again at its offset. */
export function registryBlobRanges(client: RegistryClient, options: BlobRangesOptions): RegistryBlobRanges {
  const { policy, observer } = options;
  const redirects = new Redirects(client);
  const rangeSupport = new HostRangeSupport(options, () => (redirects.isElsewhere ? undefined : client.roundTripMs));
  return {
    rangeSupport,
    async getBlobAt(info, chunks, { signal, mayPause = false, givesBack, rest } = {}) {
      const ask = async (
        wanted: readonly ImageSourceChunk[],
        askSignal: AbortSignal | undefined,
      ): Promise<HttpResponse> =>
        redirects
          .getBlob(info.digest, {
            signal: askSignal,
            range: formatRange(wanted),
            mayPause,
            givesBack,
            ...(wanted.length > 1 && { retries: MANY_RANGES_RETRIES }),
          })
          .catch((error: unknown) => {
            throw asRefusal(error);
          });
      checkRanges(info, chunks);
      const first = await refusable(() => ask(chunks, signal));
      if ('kind' in first) return first;
      if (first.status === 200) {
        const stream = resumingStream(rest ?? client, info.digest, info.size, first, { policy, observer, signal });
        return { kind: 'whole', stream };
      }
      const askForRest: typeof ask =
        rest === undefined
          ? ask
          : async (wanted, restSignal) =>
              rest.getBlob(info.digest, { signal: restSignal, range: formatRange(wanted), mayPause });
      // Later requests are for the rest of an answer that was cut: the whole blob would come too late to be of use.
      let answered: HttpResponse | undefined = first;
      const fetch = async (wanted: readonly ImageSourceChunk[], fetchSignal: AbortSignal): Promise<HttpResponse> => {
        const response = answered ?? (await askForRest(wanted, fetchSignal));
        answered = undefined;
        return response;
      };
      const notify = (next: NextAttempt): void =>
        observer?.onRetry?.({ side: client.side, what: `ranges of blob ${info.digest}`, ...next });
      const readers = readRanges(fetch, info, chunks, { signal, resume: { policy, notify } });
      return await refusable(() => beginning(readers));
    },
  };
}

type Refused = Extract<RangeAnswer, { kind: 'refused' }>;

async function refusable<T>(ask: () => Promise<T>): Promise<T | Refused> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof BadPartialRequestError) return { kind: 'refused', reason: error };
    throw error;
  }
}

/** Waits for the first reader, before which alone ranges are refused. */
async function beginning(readers: AsyncGenerator<Readable>): Promise<RangeAnswer> {
  const first = await readers.next();
  return { kind: 'ranges', readers: begun(first, readers) };
}

async function* begun(
  first: IteratorResult<Readable>,
  readers: AsyncGenerator<Readable>,
): AsyncGenerator<Readable, void, undefined> {
  try {
    for (let next = first; next.done !== true; next = await readers.next()) yield next.value;
  } finally {
    await readers.return(undefined);
  }
}

interface GetRangeOptions extends WaitOptions {
  readonly range: string;
  readonly retries?: number;
  readonly mayPause: boolean;
  readonly givesBack?: boolean | undefined;
}

/** Where redirects led, for each blob: further ranges are asked for there, as long as that is answered, and the registry is left alone. */
class Redirects {
  readonly #client: RegistryClient;
  readonly #targets = new Map<Digest, { readonly url: URL; isReused: boolean }>();
  /** Set once a blob came from another host than the registry's own. */
  #isElsewhere = false;
  /** False once a URL did not work a second time. */
  #mayReuse = true;

  constructor(client: RegistryClient) {
    this.#client = client;
  }

  get isElsewhere(): boolean {
    return this.#isElsewhere;
  }

  async getBlob(digest: Digest, options: GetRangeOptions): Promise<HttpResponse> {
    const target = this.#targets.get(digest);
    if (target !== undefined && this.#mayReuse) {
      const response = await this.#client.getRedirectedBlob(target.url, options);
      if (response !== undefined) {
        target.isReused = true;
        return response;
      }
      if (this.#targets.get(digest) === target) this.#targets.delete(digest);
      this.#mayReuse = target.isReused;
    }
    const response = await this.#client.getBlob(digest, options);
    if (response.url.origin !== this.#client.origin) {
      this.#isElsewhere = true;
      this.#targets.set(digest, { url: response.url, isReused: false });
    }
    return response;
  }
}

/** A server, or a CDN behind it, that does not like the ranges may say so by any status. */
function asRefusal(error: unknown): unknown {
  if (!(error instanceof RegistryError) || FINAL_STATUS.has(error.status)) return error;
  return new BadPartialRequestError(error.status, '', { cause: error, ...(error.side && { side: error.side }) });
}
