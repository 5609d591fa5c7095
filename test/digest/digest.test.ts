import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ContentMismatchError,
  digestAlgorithm,
  digestHex,
  digestOf,
  DigestVerifier,
  isDigest,
  type DigestAlgorithm,
} from '../../src/digest/digest.ts';

const hex64 = 'a1'.repeat(32);
const hex128 = 'b2'.repeat(64);

test('takes sha256 and sha512 in lower-case hex, and nothing else (behaviour 80)', () => {
  const cases: readonly [text: string, isValid: boolean][] = [
    [`sha256:${hex64}`, true],
    [`sha512:${hex128}`, true],
    [`sha256:${hex128}`, false],
    [`sha512:${hex64}`, false],
    [`sha256:${hex64.toUpperCase()}`, false],
    [`SHA256:${hex64}`, false],
    [`sha384:${'c3'.repeat(48)}`, false],
    [`md5:${'d4'.repeat(16)}`, false],
    [`sha256:${hex64}\n`, false],
    [` sha256:${hex64}`, false],
    [`sha256:${hex64.slice(1)}`, false],
    [`sha256:../${hex64.slice(3)}`, false],
    [hex64, false],
    ['', false],
  ];
  for (const [text, isValid] of cases) assert.equal(isDigest(text), isValid, text);
});

test('takes a digest apart', () => {
  const [short, long] = [`sha256:${hex64}`, `sha512:${hex128}`] as const;
  assert.deepEqual([digestAlgorithm(short), digestHex(short)], ['sha256', hex64]);
  assert.deepEqual([digestAlgorithm(long), digestHex(long)], ['sha512', hex128]);
});

test('hashes as the algorithm says, sha256 unless told', () => {
  const bytes = Buffer.from('content');
  const hashed = (algorithm: DigestAlgorithm): string =>
    `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
  assert.equal(digestOf(bytes), hashed('sha256'));
  assert.equal(digestOf(bytes, 'sha512'), hashed('sha512'));
});

test('verifies content however it is cut in pieces', () => {
  const algorithms = fc.constantFrom<DigestAlgorithm>('sha256', 'sha512');
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), algorithms, (pieces, algorithm) => {
      const content = Buffer.concat(pieces);
      const verifier = new DigestVerifier({ digest: digestOf(content, algorithm), size: content.length });
      for (const piece of pieces) verifier.update(piece);
      verifier.finish();
      assert.equal(verifier.bytes, content.length);
    }),
  );
});

test('refuses content of another size or digest, and names what was expected and found (behaviour 78)', () => {
  const content = Buffer.from('content');
  const digest = digestOf(content);
  const other = Buffer.from('c0ntent');
  const cases = [
    { bytes: other, size: content.length, expected: digest, found: digestOf(other) },
    { bytes: other, size: undefined, expected: digest, found: digestOf(other) },
    { bytes: content.subarray(1), size: content.length, expected: '7 bytes', found: '6 bytes' },
    { bytes: Buffer.concat([content, content]), size: content.length, expected: '7 bytes', found: 'at least 14 bytes' },
  ];
  for (const { bytes, size, expected, found } of cases) {
    const verify = (): void => {
      const verifier = new DigestVerifier({ digest, size });
      verifier.update(bytes);
      verifier.finish();
    };
    assert.throws(verify, (error) => {
      assert.ok(error instanceof ContentMismatchError);
      assert.deepEqual([error.expected, error.found, error.kind], [expected, found, 'integrity']);
      assert.equal(error.code, 'ERR_CONTENT_MISMATCH');
      return true;
    });
  }
});

test('refuses too long a content at the first byte too many', () => {
  const content = Buffer.from('content');
  const verifier = new DigestVerifier({ digest: digestOf(content), size: content.length });
  verifier.update(content);
  assert.throws(() => verifier.update(Buffer.of(0)), ContentMismatchError);
});
