import { ImgcopyError, parseImageName, type Transport } from '../index.ts';

/** Standard input is read once: for one archive, or for the password. */
export function refuseSharedInput(
  references: readonly string[],
  { passwordStdin }: { readonly passwordStdin?: boolean | undefined },
  transports: readonly Transport[],
): void {
  const archives = references.filter((text) => parseImageName(text, transports).usesStandardStreams === true);
  const [one, other = passwordStdin === true ? 'the password' : undefined] = archives;
  if (one === undefined || other === undefined) return;
  throw new ImgcopyError(`standard input has either ${one} or ${other}`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint:
      other === 'the password'
        ? 'give the password with --authfile, or store it with imgcopy login'
        : 'write one of them to a file, and name that',
  });
}
