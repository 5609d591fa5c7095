import { Transform, type TransformCallback } from 'node:stream';
import { inPipeTurns } from '../io/pipe-turns.ts';
import { DigestVerifier, type ExpectedContent } from './digest.ts';

/**
 * A pass-through that fails with ContentMismatchError, before it ends, when the bytes that passed are not those expected: who reads
 * it to its end has read the right content.
 */
export function verifiedStream(expected: ExpectedContent): Transform {
  const verifier = new DigestVerifier(expected);
  return new Transform({
    // One chunk at a time: a stream of bytes joins those that it gives at once.
    readableObjectMode: true,
    readableHighWaterMark: 1,
    writableHighWaterMark: 256 * 1024,
    transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
      inPipeTurns([chunk], (part) => verifier.update(part)).then(() => done(null, chunk), done);
    },
    flush(done: TransformCallback): void {
      try {
        verifier.finish();
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}
