import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { IfDigest, ManifestPresence } from './image-destination.ts';

export type { IfDigest };

/** @throws ImgcopyError ERR_IF_DIGEST where the name holds something else; the reason why where that cannot be told. */
export function checkIfDigest(name: string, expected: IfDigest, presence: ManifestPresence): void {
  if (presence.state === 'unknown')
    throw duringOperation(`cannot tell what ${name} holds, so it was not written`, presence.reason);
  const found = presence.state === 'present' ? presence.manifest.digest : 'none';
  if (found !== expected) throw ifDigestNotMet(name, expected, found);
}

export function ifDigestNotMet(
  name: string,
  expected: IfDigest,
  found: IfDigest | undefined,
  cause?: unknown,
): ImgcopyError {
  const holds = found === undefined ? 'has been changed' : found === 'none' ? 'does not exist' : `is at ${found}`;
  const wanted = expected === 'none' ? 'it must not exist' : `it must be at ${expected}`;
  return new ImgcopyError(`${name} ${holds}; ${wanted}`, {
    code: 'ERR_IF_DIGEST',
    kind: 'failed',
    side: 'destination',
    hint: 'look at what is there now; then run it again with that digest, or without --if-digest',
    cause,
  });
}
