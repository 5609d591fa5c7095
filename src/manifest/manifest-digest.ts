import { digestOf, type Digest, type DigestAlgorithm } from '../digest/digest.ts';
import { MediaType } from './media-types.ts';
import { signedPayload } from './schema1.ts';

/**
 * The digest that a registry knows a manifest by: that of its bytes, but for a signed schema 1 manifest, whose signatures do not count.
 *
 * @param mediaType  as parseManifest finds it, not as a server declared it.
 * @throws InvalidManifestError when signatures that should be there cannot be read.
 */
export function manifestDigest(bytes: Buffer, mediaType: string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestOf(mediaType === MediaType.schema1SignedManifest ? signedPayload(bytes) : bytes, algorithm);
}
