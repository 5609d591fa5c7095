import { Readable } from 'node:stream';
import type { Digest } from '../../../digest/digest.ts';
import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import { parseContentRange } from '../../../http/ranges/content-range.ts';
import { header, isPassing, toNetworkError, type HttpResponse, type RequestObserver } from '../../../http/index.ts';
import { Attempts, type RetryPolicy } from '../../../retry/attempts.ts';
import type { RegistryClient } from '../client.ts';
import { RegistryError } from '../registry-error.ts';

/** What gives a blob, whole or from an offset on. */
export type BlobReader = Pick<RegistryClient, 'side' | 'getBlob'>;

export interface DownloadOptions {
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How often a request for the rest is sent again before the whole blob is asked for instead. */
const REST_RETRIES = 2;
/** Statuses that would be the same for the whole blob. */
const SAME_FOR_ALL: ReadonlySet<number> = new Set([401, 404, 429]);

/**
 * A blob as one stream that outlives its connections: a body that is cut, falls silent or ends before `size` is resumed at its offset, through the
 * registry's own URL, for signed ones expire. Where the rest is refused, the blob is asked for from its first byte, and what was delivered is skipped.
 *
 * @param first  the answer to the GET of the whole blob.
 */
export function resumingStream(
  client: BlobReader,
  digest: Digest,
  size: number,
  first: HttpResponse,
  options: DownloadOptions,
): Readable {
  const controller = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  const stream = Readable.from(chunks(client, digest, size, first, { ...options, signal }), {
    // One chunk at a time: a stream of bytes joins those that it gives at once.
    objectMode: true,
    highWaterMark: 1,
  });
  stream.once('close', () => {
    controller.abort();
    first.body.destroy();
  });
  first.body.on('error', () => undefined);
  return stream;
}

/** The same bytes without a stream around them, for who reads them to their end at once: for a small blob, that takes longer to make than to read. */
export function resumingChunks(
  client: BlobReader,
  digest: Digest,
  size: number,
  first: HttpResponse,
  options: DownloadOptions,
): AsyncIterable<Buffer> {
  first.body.on('error', () => undefined);
  return chunks(client, digest, size, first, options);
}

/** An answer on its way, and where its body begins in the blob. */
interface Answer {
  readonly response: HttpResponse;
  readonly start: number;
}

async function* chunks(
  client: BlobReader,
  digest: Digest,
  size: number,
  first: HttpResponse,
  { policy, signal, observer }: DownloadOptions,
): AsyncGenerator<Buffer> {
  const attempts = new Attempts({
    policy,
    signal,
    notify: (next) => observer?.onRetry?.({ side: client.side, what: `blob ${digest}`, ...next }),
  });
  const rest = new RestOfBlob(client, digest, size, { policy, signal, attempts });
  let answer: Answer = { response: first, start: 0 };
  let offset = 0;
  /** Where an answer with the whole blob ended, as if that were all. */
  let shortEnd: number | undefined;
  for (;;) {
    let failure: Error | undefined;
    let position = answer.start;
    try {
      for await (const chunk of answer.response.body as AsyncIterable<Buffer>) {
        position += chunk.length;
        if (position <= offset) continue;
        const fresh = chunk.subarray(Math.max(0, chunk.length - (position - offset)));
        offset = position;
        yield fresh;
      }
    } catch (error) {
      const wrapped = toNetworkError(error, { method: 'GET', url: answer.response.url, side: client.side });
      if (!isPassing(wrapped)) throw wrapped;
      failure = wrapped;
    }
    if (offset >= size) return;
    signal?.throwIfAborted();
    const short = (): ImgcopyError => tooShort(client, digest, { offset, size, first });
    if (failure === undefined && answer.start === 0) {
      if (position === shortEnd) throw short();
      shortEnd = position;
    }
    attempts.reached(offset);
    if (!(await attempts.again({ why: `cut after ${offset} of ${size} bytes` }))) throw failure ?? short();
    answer = await rest.from(offset);
  }
}

interface RestOptions extends Pick<DownloadOptions, 'policy' | 'signal'> {
  readonly attempts: Attempts;
}

/** Asks for what is missing of a blob. */
class RestOfBlob {
  readonly #client: BlobReader;
  readonly #digest: Digest;
  readonly #size: number;
  readonly #options: RestOptions;
  #isRefused = false;

  constructor(client: BlobReader, digest: Digest, size: number, options: RestOptions) {
    this.#client = client;
    this.#digest = digest;
    this.#size = size;
    this.#options = options;
  }

  async from(offset: number): Promise<Answer> {
    const { signal, attempts } = this.#options;
    if (offset > 0 && !this.#isRefused) {
      const answer = await this.#ask(offset);
      if (typeof answer !== 'string') return answer;
      this.#isRefused = true;
      await attempts.again({ why: `the rest from byte ${offset} on is refused: ${answer}`, costs: 'lesson' });
    }
    const response = await this.#client.getBlob(this.#digest, { signal, isFresh: true });
    return { response, start: 0 };
  }

  /** @returns a text that says how the rest was refused. */
  async #ask(offset: number): Promise<Answer | string> {
    const { policy, signal } = this.#options;
    const retries = Math.min(REST_RETRIES, policy.retries);
    try {
      const response = await this.#client.getBlob(this.#digest, { signal, range: `bytes=${offset}-`, retries });
      const { status } = response;
      if (status === 200) return { response, start: 0 };
      const contentRange = header(response, 'content-range') ?? '';
      const range = status === 206 ? parseContentRange(contentRange) : undefined;
      if (range?.start === offset && (range.total ?? this.#size) === this.#size) return { response, start: offset };
      response.body.on('error', () => undefined).destroy();
      return `${status} ${contentRange}`.trimEnd();
    } catch (error) {
      if (error instanceof RegistryError && !SAME_FOR_ALL.has(error.status)) return `${error.status}`;
      throw error;
    }
  }
}

function tooShort(
  client: BlobReader,
  digest: Digest,
  { offset, size, first }: { readonly offset: number; readonly size: number; readonly first: HttpResponse },
): ImgcopyError {
  const encoding = header(first, 'content-encoding');
  const said = encoding === undefined ? '' : `; it sent Content-Encoding: ${encoding}`;
  return new ImgcopyError(`blob ${digest} ends after ${offset} of ${size} bytes, repeatedly`, {
    code: 'ERR_BODY_CUT',
    kind: 'integrity',
    side: client.side,
    hint: `the registry or a proxy in front of it has a damaged copy, or truncates long responses${said}`,
  });
}
