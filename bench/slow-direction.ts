import type { Socket } from 'node:net';

export interface DirectionOptions {
  readonly oneWayMs: number;
  readonly bytesPerMs: number;
  /** The time, by `performance.now()`, before which no byte sets out. */
  readonly opensAt: number;
  readonly onBytes: (bytes: number) => void;
}

/** Bytes on their way, and when they arrive; no bytes are the end of the stream. */
interface Parcel {
  readonly bytes: Buffer | undefined;
  readonly arrivesAt: number;
}

// Timers of Node fire up to a millisecond early; a parcel this near to its time is delivered.
const timerSlackMs = 0.5;
// What one parcel takes on the link: short enough to be smooth, long enough for few timers.
const parcelMs = 5;
const bufferMs = 20;

/**
 * Carries what one socket reads to the other, delayed and paced, in order. It reads ahead by no more than the link itself holds
 * and 20 ms, so a slow reader at the far end holds the near one back.
 */
export function carry(from: Socket, to: Socket, options: DirectionOptions): void {
  const { oneWayMs, bytesPerMs, onBytes } = options;
  const parcelBytes = Math.max(1, Math.floor(bytesPerMs * parcelMs));
  const capacity = bytesPerMs * (oneWayMs + bufferMs);
  const onTheWay: Parcel[] = [];
  let held = 0;
  let lineFreeAt = options.opensAt;
  let timer: NodeJS.Timeout | undefined;

  from.on('data', (data: Buffer) => {
    for (let start = 0; start < data.length; start += parcelBytes) {
      const bytes = data.subarray(start, start + parcelBytes);
      lineFreeAt = Math.max(lineFreeAt, performance.now()) + bytes.length / bytesPerMs;
      onTheWay.push({ bytes, arrivesAt: lineFreeAt + oneWayMs });
    }
    held += data.length;
    if (held >= capacity) from.pause();
    wakeForNext();
  });
  from.on('end', () => {
    onTheWay.push({ bytes: undefined, arrivesAt: Math.max(lineFreeAt, performance.now()) + oneWayMs });
    wakeForNext();
  });
  from.on('error', () => to.resetAndDestroy());
  to.on('drain', deliver);
  to.on('close', () => {
    clearTimeout(timer);
    if (!to.writableFinished) from.destroy();
  });

  function wakeForNext(): void {
    const next = onTheWay[0];
    if (next === undefined || timer !== undefined) return;
    timer = setTimeout(deliver, Math.max(0, next.arrivesAt - performance.now()));
  }

  function deliver(): void {
    clearTimeout(timer);
    timer = undefined;
    const now = performance.now() + timerSlackMs;
    while (onTheWay[0] !== undefined && onTheWay[0].arrivesAt <= now && !to.writableNeedDrain) {
      const { bytes } = onTheWay.shift() as Parcel;
      if (bytes === undefined) to.end();
      else deliverBytes(bytes);
    }
    if (!to.writableNeedDrain) wakeForNext();
  }

  function deliverBytes(bytes: Buffer): void {
    to.write(bytes);
    onBytes(bytes.length);
    held -= bytes.length;
    if (held < capacity && from.isPaused()) from.resume();
  }
}
