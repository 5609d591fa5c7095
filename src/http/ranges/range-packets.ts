import type { Readable } from 'node:stream';
import { isAbort } from '../../errors/imgcopy-error.ts';
import { RangeBodyError } from './range-errors.ts';

/**
 * The bytes of a body as they arrive. Leaving the loop destroys the body.
 *
 * @throws RangeBodyError ERR_SHORT_RANGE when the body breaks off, after all bytes that arrived before; an abort as it is.
 */
export async function* packetsOf(body: Readable): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const packet of body as AsyncIterable<Buffer>) {
      if (packet.length > 0) yield packet;
    }
  } catch (error) {
    if (isAbort(error)) throw error;
    // A broken stream keeps what it had buffered, but its iterator no longer gives it.
    const buffered = body.read() as Buffer | null;
    if (buffered !== null) yield buffered;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RangeBodyError('ERR_SHORT_RANGE', `the answer broke off: ${reason}`, { cause: error });
  }
}

/**
 * The bytes of a body that must have exactly `length` of them.
 *
 * @throws RangeBodyError after the bytes that are there: ERR_SHORT_RANGE when it is shorter, ERR_WRONG_RANGE when it is longer.
 */
export async function* exactly(body: Readable, length: number): AsyncGenerator<Buffer, void, undefined> {
  let left = length;
  for await (const packet of packetsOf(body)) {
    const surplus = packet.length - left;
    if (surplus > 0) {
      if (left > 0) yield packet.subarray(0, left);
      throw new RangeBodyError('ERR_WRONG_RANGE', `the answer has more than the ${length} bytes that it announced`);
    }
    left -= packet.length;
    yield packet;
  }
  if (left > 0) {
    throw new RangeBodyError('ERR_SHORT_RANGE', `the answer ended after ${length - left} of ${length} bytes`);
  }
}
