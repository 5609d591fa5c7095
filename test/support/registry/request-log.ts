import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** A request as a test sees it; the numbers grow while it is under way. */
export interface RequestRecord {
  /** `storage` is the second origin: redirected blobs, and uploads with `locations: 'other-origin'`. */
  readonly server: 'registry' | 'storage';
  /** Whom the request is for, with a port where it names one. */
  readonly host: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly range: string | undefined;
  readonly accept: string | undefined;
  /** Whether an Authorization header came. */
  readonly authorization: boolean;
  /** Number of the connection among those of its origin, from 1. */
  readonly connection: number;
  /** Points in time, by a counter that all registries of the process share. */
  readonly startedAt: number;
  /** When the head of the answer was sent. */
  readonly answeredAt: number | undefined;
  readonly endedAt: number | undefined;
  readonly status: number | undefined;
  /** Bytes of the request's body that were taken. */
  readonly bodyBytes: number;
  /** Bytes of the answer's body that were handed to the connection. */
  readonly bytesSent: number;
  readonly outcome: 'open' | 'complete' | 'aborted';
}

export type OpenRecord = { -readonly [Key in keyof RequestRecord]: RequestRecord[Key] };

/** Which requests are meant; nothing given means all. */
export interface RequestMatch {
  readonly method?: string | undefined;
  /** Tested against the path with its query. */
  readonly path?: RegExp | undefined;
  readonly when?: ((request: RequestRecord) => boolean) | undefined;
}

/** Every request that a registry got, in order of arrival. */
export class RequestLog {
  #records: OpenRecord[] = [];
  #waiting = new Set<() => void>();

  get records(): readonly RequestRecord[] {
    return this.#records;
  }

  open(request: IncomingMessage, origin: { server: RequestRecord['server']; connection: number }): OpenRecord {
    // A proxy is sent whole URLs.
    const url = URL.parse(request.url ?? '');
    const record: OpenRecord = {
      ...origin,
      host: url?.host ?? request.headers.host ?? '',
      method: request.method ?? '',
      path: url === null ? (request.url ?? '') : `${url.pathname}${url.search}`,
      headers: request.headers,
      range: request.headers.range,
      accept: request.headers.accept,
      authorization: request.headers.authorization !== undefined,
      startedAt: tick(),
      answeredAt: undefined,
      endedAt: undefined,
      status: undefined,
      bodyBytes: 0,
      bytesSent: 0,
      outcome: 'open',
    };
    this.#records.push(record);
    this.changed();
    return record;
  }

  answered(record: OpenRecord, status: number): void {
    record.status = status;
    record.answeredAt = tick();
    this.changed();
  }

  /** The first end counts. */
  ended(record: OpenRecord, outcome: 'complete' | 'aborted'): void {
    if (record.outcome !== 'open') return;
    record.outcome = outcome;
    record.endedAt = tick();
    this.changed();
  }

  /** To be called after a record's numbers have changed. */
  changed(): void {
    for (const look of this.#waiting) look();
  }

  /** Resolves as soon as a condition on this registry's state holds; looked at whenever a request moves on. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }

  select(match: RequestMatch = {}): readonly RequestRecord[] {
    return this.#records.filter((record) => matches(record, match));
  }

  /** Forgets all requests but those under way. */
  reset(): void {
    this.#records = this.#records.filter((record) => record.outcome === 'open');
  }
}

export function matches(record: RequestRecord, match: RequestMatch): boolean {
  if (match.method !== undefined && match.method !== record.method) return false;
  if (match.path !== undefined && !match.path.test(record.path)) return false;
  return match.when?.(record) ?? true;
}

/** The largest number of these requests that were under way at once. */
export function peakOf(records: readonly RequestRecord[]): number {
  const steps = records.flatMap((record) => [
    { at: record.startedAt, by: 1 },
    ...(record.endedAt === undefined ? [] : [{ at: record.endedAt, by: -1 }]),
  ]);
  let open = 0;
  let peak = 0;
  for (const step of steps.toSorted((a, b) => a.at - b.at)) {
    open += step.by;
    peak = Math.max(peak, open);
  }
  return peak;
}

/**
 * The length of the longest chain of requests each of which was sent after the one before was answered: the round trips that a job
 * has to wait for. Exact where every answer takes about the same time (give both registries one `latencyMs`), else an upper bound.
 * @param records  of one registry or of several
 */
export function waitsOf(records: readonly RequestRecord[]): number {
  const chains: { readonly answeredAt: number; readonly length: number }[] = [];
  for (const record of records.toSorted((a, b) => a.startedAt - b.startedAt)) {
    const before = chains.filter((chain) => chain.answeredAt < record.startedAt).map((chain) => chain.length);
    chains.push({ answeredAt: record.answeredAt ?? Infinity, length: 1 + Math.max(0, ...before) });
  }
  return Math.max(0, ...chains.map((chain) => chain.length));
}

let clock = 0;

function tick(): number {
  clock += 1;
  return clock;
}
