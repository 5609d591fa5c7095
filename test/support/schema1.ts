/** Signed manifests of schema 1. */
export const SIGNED_SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws';

interface Signed {
  readonly signatures?: readonly { readonly protected: string }[];
}

interface ProtectedHeader {
  readonly formatLength: number;
  readonly formatTail: string;
}

/**
 * The bytes that a manifest's digest is taken over: all of them, but for signed schema 1, where the signatures are cut out.
 * @see https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-1.md#signed-manifests
 */
export function payloadOf(bytes: Buffer, mediaType: string): Buffer {
  if (mediaType !== SIGNED_SCHEMA1) return bytes;
  const signature = (JSON.parse(bytes.toString('utf8')) as Signed).signatures?.[0];
  if (signature === undefined) return bytes;
  const header = JSON.parse(Buffer.from(signature.protected, 'base64url').toString('utf8')) as ProtectedHeader;
  return Buffer.concat([bytes.subarray(0, header.formatLength), Buffer.from(header.formatTail, 'base64url')]);
}

/**
 * Puts a signature into a schema 1 manifest, in the form of libtrust. Digests may be taken from the result; the signature itself is
 * made of fixed bytes and proves nothing.
 */
export function signSchema1(payload: Buffer): Buffer {
  const tail = '\n}';
  const length = payload.length - tail.length;
  const header = {
    formatLength: length,
    formatTail: Buffer.from(tail).toString('base64url'),
    time: '1970-01-01T00:00:00Z',
  };
  const key = { crv: 'P-256', kid: 'TEST', kty: 'EC', x: 'x'.repeat(43), y: 'y'.repeat(43) };
  const signature = {
    header: { jwk: key, alg: 'ES256' },
    signature: 's'.repeat(86),
    protected: Buffer.from(JSON.stringify(header)).toString('base64url'),
  };
  const signatures = JSON.stringify([signature], undefined, 3).replaceAll('\n', '\n   ');
  return Buffer.concat([payload.subarray(0, length), Buffer.from(`,\n   "signatures": ${signatures}\n}`)]);
}
