import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { PreparedRun } from './copy-run.ts';

/**
 * The signatures that come along with an image, or with an instance of it.
 * @throws ImgcopyError ERR_SIGNATURES_UNSUPPORTED where the destination has no place for them.
 */
export async function signaturesToCopy(
  run: Pick<PreparedRun, 'source' | 'destination' | 'removeSignatures' | 'signal'>,
  instanceDigest?: Digest,
): Promise<readonly Buffer[]> {
  const { source, destination, signal } = run;
  if (run.removeSignatures) return [];
  const signatures = await source.getSignaturesWithFormat({ instanceDigest, signal });
  if (signatures.length === 0 || destination.supportsSignatures()) return signatures;
  const signed = instanceDigest === undefined ? source.reference : `${source.reference}, manifest ${instanceDigest}`;
  throw new ImgcopyError(`${signed} is signed, and ${destination.reference} has no place for its signatures`, {
    code: 'ERR_SIGNATURES_UNSUPPORTED',
    side: 'destination',
    hint: 'copy without them by --remove-signatures',
  });
}
