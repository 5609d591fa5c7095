import { Transform, type TransformCallback } from 'node:stream';
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
      try {
        verifier.update(chunk);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
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
