import type { BlobOutcome, CopyEvent } from '../../index.ts';
import { Rate } from './rate.ts';

/** A blob that is being copied, or is done. Sizes are in bytes. */
export interface BlobState {
  readonly digest: string;
  /** `layer` or `config`. */
  readonly name: string;
  readonly size: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  /** What became of it, once it has ended. */
  readonly end: BlobEnd | undefined;
}

export type BlobEnd = Omit<Extract<CopyEvent, { type: 'blob-done' }>, 'type' | 'digest' | 'size'> & {
  readonly outcome: BlobOutcome;
  /** In ms, of the clock of the events. */
  readonly at: number;
};

export interface CopyTotals {
  readonly blobs: number;
  readonly blobsDone: number;
  readonly bytes: number;
  /** Blobs that are already there count as well. */
  readonly bytesDone: number;
  /** Whether all blobs are known. */
  readonly isFinal: boolean;
  /** Bytes that come from the source. */
  readonly bytesPerSecond: number;
  /** Undefined in the first seconds, and while nothing moves. */
  readonly msLeft: number | undefined;
}

/** No time left is shown before a copy has run for so long, in ms. */
const FIRST_ESTIMATE_MS = 3_000;
/** The time left follows from the speed over so long, in ms: a shorter time would make it jump. */
const ESTIMATE_WINDOW_MS = 15_000;
/** The last bytes of a blob may have left the source and not arrived yet: up to so many. */
const IN_TRANSIT_BYTES = 4 * 1024 * 1024;

interface Blob {
  readonly digest: string;
  readonly name: string;
  readonly size: number;
  readonly rate: Rate;
  bytes: number;
  end: BlobEnd | undefined;
}

/** How far a copy is, by the events of the library. */
export class CopyState {
  /** Of bytes that the source gives. */
  readonly #rate: Rate;
  /** Of bytes that have arrived at the destination, as far as that is known; starts with the first blob. */
  #arrivals: { readonly rate: Rate; readonly since: number } | undefined;
  readonly #blobs = new Map<string, Blob>();
  #planned: { readonly blobs: number; readonly bytes: number } | undefined;
  #source: string | undefined;
  #destination: string | undefined;

  /** @param now  in ms; each event is given with the same clock's. */
  constructor(now: number) {
    this.#rate = new Rate(now);
  }

  apply(event: CopyEvent, now: number): void {
    switch (event.type) {
      case 'started':
        this.#source = event.source;
        this.#destination = event.destination;
        break;
      case 'planned':
        this.#planned = event;
        break;
      case 'blob-started': {
        const { digest, name, size } = event;
        this.#arrivals ??= { rate: new Rate(now, ESTIMATE_WINDOW_MS), since: now };
        this.#blobs.set(digest, { digest, name, size, rate: new Rate(now), bytes: 0, end: undefined });
        break;
      }
      case 'blob-progress':
        this.#progress(event.digest, event.bytes, now);
        break;
      case 'blob-done': {
        const { type: _type, digest, size, ...ended } = event;
        const end = { ...ended, from: ended.outcome === 'mounted' ? ended.from : this.unnamedOrigin(ended.from) };
        const blob = this.#blobs.get(digest) ?? {
          digest,
          name: 'blob',
          size,
          rate: new Rate(now),
          bytes: 0,
          end: undefined,
        };
        // What came from elsewhere than the source says nothing about the speed of the rest.
        this.#arrive(Math.max(0, Math.min(size, end.bytesFetched) - arrived(blob)), now);
        this.#blobs.set(digest, { ...blob, bytes: size, end: { ...end, at: now } });
        break;
      }
      case 'manifest':
      case 'blob-stream':
      case 'retry':
      case 'fallback':
      case 'warning':
      case 'done':
    }
  }

  /** Where something was read, if that is not the address that the user named. */
  unnamedOrigin(from: string | undefined): string | undefined {
    const named = /^docker:\/\/([^@]*?)(?::[^/:@]*)?(?:@.*)?$/.exec(this.#source ?? '')?.[1];
    return from === named ? undefined : from;
  }

  /** As the library names them; undefined until the copy has started. */
  get source(): string | undefined {
    return this.#source;
  }

  get destination(): string | undefined {
    return this.#destination;
  }

  /** In the order they were started in. */
  blobs(now: number): readonly BlobState[] {
    return [...this.#blobs.values()].map(({ rate, ...blob }) => ({ ...blob, bytesPerSecond: rate.perSecond(now) }));
  }

  totals(now: number): CopyTotals {
    const known = [...this.#blobs.values()];
    const sum = (of: (blob: Blob) => number): number => known.reduce((total, blob) => total + of(blob), 0);
    const bytes = Math.max(
      this.#planned?.bytes ?? 0,
      sum(({ size }) => size),
    );
    const bytesDone = sum((blob) => Math.min(blob.bytes, blob.size));
    const bytesPerSecond = this.#rate.perSecond(now);
    const isFinal = this.#planned !== undefined;
    return {
      blobs: Math.max(this.#planned?.blobs ?? 0, known.length),
      blobsDone: known.filter(({ end }) => end !== undefined).length,
      bytes,
      bytesDone,
      isFinal,
      bytesPerSecond,
      msLeft: this.#msLeft(bytes - sum(arrived), now),
    };
  }

  #msLeft(bytesLeft: number, now: number): number | undefined {
    if (this.#isStalled(now)) return undefined;
    if (this.#arrivals === undefined || now - this.#arrivals.since < FIRST_ESTIMATE_MS) return undefined;
    const bytesPerSecond = this.#arrivals.rate.perSecond(now);
    return bytesPerSecond < 1 ? undefined : (bytesLeft / bytesPerSecond) * 1000;
  }

  /** Whether bytes should come from the source, and none do. */
  #isStalled(now: number): boolean {
    const awaited = [...this.#blobs.values()].some(({ bytes, size, end }) => end === undefined && bytes < size);
    return awaited && this.#rate.perSecond(now) === 0;
  }

  #arrive(bytes: number, now: number): void {
    this.#arrivals?.rate.add(bytes, now);
  }

  #progress(digest: string, bytes: number, now: number): void {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return;
    const more = Math.max(0, bytes - blob.bytes);
    const before = arrived(blob);
    blob.bytes = bytes;
    this.#arrive(Math.max(0, arrived(blob) - before), now);
    blob.rate.add(more, now);
    this.#rate.add(more, now);
  }
}

/** How far the copies of one image are, to each of its destinations. */
export class CopyStates {
  readonly #states = new Map<string | undefined, CopyState>();

  /** The state that an event belongs to; with several destinations, what happens at the source belongs to none of them. */
  of({ destinationId }: Pick<CopyEvent, 'destinationId'>, now: number): CopyState {
    const state = this.#states.get(destinationId) ?? new CopyState(now);
    this.#states.set(destinationId, state);
    return state;
  }

  /** Those that have a destination, in the order in which they began. */
  get all(): readonly CopyState[] {
    return [...this.#states.values()].filter(({ destination }) => destination !== undefined);
  }
}

/** How much of a blob is surely at the destination, in bytes. */
function arrived({ bytes, size, end }: Blob): number {
  return end === undefined ? Math.max(0, Math.min(bytes, size - IN_TRANSIT_BYTES)) : size;
}
