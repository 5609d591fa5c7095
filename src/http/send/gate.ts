import { setTimeout as delay } from 'node:timers/promises';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { Semaphore, type Release } from '../../io/semaphore.ts';
import { redactUrl } from './network-error.ts';
import { retryAfterMs } from './retry.ts';
import { header, type HttpRequest, type HttpResponse, type Layer, type RequestKind } from './send.ts';
import { whenClosed } from './when-closed.ts';

export interface HostGatesOptions {
  /** Requests of a kind in flight to a host, to begin with. */
  readonly limit: number;
  /** At most. Default: as many as to begin with. */
  readonly most?: number | undefined;
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

const DEFAULT_KIND: RequestKind = 'manifest-read';
/** So many clean answers open a gate that was narrowed by one more request; one that never was, each of them does. */
const CLEAN_ANSWERS = 10;
const MAX_HOLD_MS = 5 * 60_000;
/** Bodies up to here are read at once, in bytes. */
const SHORT_BODY = 4 * 1024 * 1024;

interface Gate {
  readonly slots: Semaphore;
  /** Clean answers since the last refusal. */
  clean: number;
  /** How often it was narrowed. */
  narrowings: number;
  /** Nothing is sent before this time: the host asked for a pause. */
  heldUntil: number;
}

/**
 * Bounds the requests of each kind in flight to each host: registries limit reads and writes separately, and a refused upload is no reason to slow
 * downloads. Long bodies, up and down, do not hold a place while they move: the run's pool bounds them,
 * and a download that waits for an upload to the same host must not keep it out. While requests wait, each clean answer lets one more through,
 * as TCP begins: over a slow link, round trips are what many small blobs take. A host that answers 429 or 503 gets half as many, and none before
 * its Retry-After is over; clean answers open its gate again, one by one.
 */
export class HostGates {
  readonly #gates = new Map<string, Gate>();
  readonly #limit: number;
  readonly #most: number;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;

  constructor(options: HostGatesOptions) {
    const { limit, most = limit, now = Date.now } = options;
    const { sleep = (ms: number, signal: AbortSignal | undefined): Promise<void> => delay(ms, undefined, { signal }) } =
      options;
    this.#limit = limit;
    this.#most = most;
    this.#now = now;
    this.#sleep = sleep;
  }

  /** How many requests of a kind may be in flight to a host now. */
  limitOf(host: string, kind: RequestKind = DEFAULT_KIND): number {
    return this.#gates.get(keyOf(host, kind))?.slots.capacity ?? this.#limit;
  }

  readonly throttle: Layer = (next) => async (request) => {
    const gate = this.#gateOf(request.url.host, request.kind);
    const release = await this.#enter(gate, request);
    const { narrowings } = gate;
    try {
      const answer = next(request);
      if (isStreamed(request)) release();
      const response = await answer;
      this.#learn(gate, response, narrowings);
      // A turn later, when the connection is free: the next request would open another.
      if (isShort(response) && !request.mayPause) whenClosed(response.body, () => setImmediate(release));
      else release();
      return response;
    } catch (error) {
      release();
      throw error;
    }
  };

  async #enter(gate: Gate, request: HttpRequest): Promise<Release> {
    const { signal, mayWait = true } = request;
    const release = await gate.slots.acquire({ signal });
    try {
      for (let ms = gate.heldUntil - this.#now(); ms > 0; ms = gate.heldUntil - this.#now()) {
        if (!mayWait) throw onHold(request);
        await this.#sleep(ms, signal);
      }
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** @param narrowings  of the gate when the request went out: what was in flight together is refused together, and narrows it once. */
  #learn(gate: Gate, response: HttpResponse, narrowings: number): void {
    if (response.status === 429 || response.status === 503) {
      gate.clean = 0;
      if (gate.narrowings === narrowings) {
        gate.slots.resize(Math.max(1, Math.floor(gate.slots.capacity / 2)));
        gate.narrowings += 1;
      }
      const hold = Math.min(MAX_HOLD_MS, retryAfterMs(response, this.#now()) ?? 0);
      gate.heldUntil = Math.max(gate.heldUntil, this.#now() + hold);
      return;
    }
    gate.clean += 1;
    const { slots, narrowings: everNarrowed } = gate;
    const isDue = everNarrowed === 0 ? slots.waiting > 0 : gate.clean % CLEAN_ANSWERS === 0;
    if (isDue && slots.capacity < this.#most) slots.resize(slots.capacity + 1);
  }

  #gateOf(host: string, kind: RequestKind = DEFAULT_KIND): Gate {
    const key = keyOf(host, kind);
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      gate = { slots: new Semaphore(this.#limit), clean: 0, narrowings: 0, heldUntil: 0 };
      this.#gates.set(key, gate);
    }
    return gate;
  }
}

function keyOf(host: string, kind: RequestKind): string {
  return `${host} ${kind}`;
}

function onHold({ method, url, side }: HttpRequest): ImgcopyError {
  return new ImgcopyError(`${method} ${redactUrl(url)}: the host limits how often it may be asked`, {
    code: 'ERR_RATE_LIMITED',
    kind: 'rate-limited',
    side,
  });
}

function isStreamed({ body }: HttpRequest): boolean {
  return body !== undefined && !(body instanceof Uint8Array);
}

/** A body that does not say its length may be a long one. */
function isShort(response: HttpResponse): boolean {
  return Number(header(response, 'content-length') ?? Infinity) <= SHORT_BODY;
}
