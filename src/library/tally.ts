import type { CopyEvent } from '../contract/progress.ts';
import { bytesUploaded } from '../copy/blob-to-copy.ts';
import type { CopiedImage } from '../copy/copy-image.ts';
import type { RequestObserver } from '../http/send/send.ts';
import type { CopyOptions, CopyResult } from './options.ts';

/** Counts what a copy does, for its result. */
export class Tally {
  readonly #options: CopyOptions;
  readonly #requests = { source: 0, destination: 0 };
  #retries = 0;
  #hasStarted = false;
  readonly #served = new Map<string, ServedCounts>();

  readonly #source: Tally;

  /** @param source  counts what the source is asked, where several copies share that. Default: this one does. */
  constructor(options: CopyOptions, source?: Tally) {
    this.#options = options;
    this.#source = source ?? this;
  }

  readonly emit = (event: CopyEvent): void => {
    if (event.type === 'retry') this.#retries += 1;
    if (event.type === 'manifest') this.#noteServed(event.from, { manifests: 1, blobs: 0, bytes: 0 });
    if (event.type === 'blob-done' && event.bytesFetched > 0)
      this.#noteServed(event.from, { manifests: 0, blobs: 1, bytes: event.bytesFetched });
    const { destinationId, onEvent } = this.#options;
    onEvent?.(destinationId === undefined ? event : { ...event, destinationId });
  };

  /** Tells, the first time, that the copy has started. */
  start(source: string, destination: string): void {
    if (this.#hasStarted) return;
    this.#hasStarted = true;
    this.emit({ type: 'started', source, destination });
  }

  readonly observer: RequestObserver = {
    onRequest: (request, outcome) => {
      this.#requests[request.side] += 1;
      this.#options.onRequest?.(request, outcome);
    },
    onRetry: (retry) => this.emit({ type: 'retry', ...retry }),
    onFallback: (fallback) => this.emit({ type: 'fallback', ...fallback }),
  };

  get requests(): CopyResult['requests'] {
    return { source: this.#source.#requests.source, destination: this.#requests.destination };
  }

  result({
    digest,
    mediaType,
    size,
    imageId,
    manifests,
    blobs,
    skipped,
    referrers,
  }: CopiedImage): Omit<CopyResult, 'source' | 'destination' | 'reference' | 'durationMs'> {
    const { destinationId } = this.#options;
    const count = (...outcomes: string[]): number => blobs.filter(({ outcome }) => outcomes.includes(outcome)).length;
    const sum = (of: (blob: CopiedImage['blobs'][number]) => number): number =>
      blobs.reduce((total, blob) => total + of(blob), 0);
    return {
      ...(destinationId !== undefined && { destinationId }),
      digest,
      mediaType,
      size,
      imageId: imageId ?? null,
      manifests,
      blobs: {
        total: blobs.length,
        reused: count('reused', 'substituted'),
        mounted: count('mounted'),
        partial: count('partial'),
        copied: count('copied'),
        ...(count('left-out') > 0 && { leftOut: count('left-out') }),
      },
      bytes: {
        total: sum((blob) => blob.size),
        fetched: sum((blob) => blob.bytesFetched),
        reused: sum((blob) => blob.bytesReused),
        uploaded: sum(bytesUploaded),
      },
      requests: this.requests,
      retries: this.#retries + (this.#source === this ? 0 : this.#source.#retries),
      servedFrom: [...this.#served].map(([address, counts]) => ({ address, ...counts })),
      ...(referrers !== undefined && { referrers: { ...referrers, missing: referrers.missing.length } }),
      skipped: skipped ?? null,
    };
  }

  #noteServed(address: string | undefined, { manifests, blobs, bytes }: ServedCounts): void {
    if (address === undefined) return;
    const before = this.#served.get(address) ?? { manifests: 0, blobs: 0, bytes: 0 };
    this.#served.set(address, {
      manifests: before.manifests + manifests,
      blobs: before.blobs + blobs,
      bytes: before.bytes + bytes,
    });
  }
}

type ServedCounts = Omit<CopyResult['servedFrom'][number], 'address'>;
