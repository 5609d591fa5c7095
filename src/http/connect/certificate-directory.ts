import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { certificatesIn } from './authorities.ts';

/** A certificate that shows a server who its client is, and its key, PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
  /** The file of the certificate. */
  readonly file: string;
}

/** What one of docker's certs.d directories holds. */
export interface CertificateDirectory {
  readonly authorities: readonly string[];
  /** In the order of their names. */
  readonly clients: readonly ClientCertificate[];
}

export const NO_CERTIFICATES: CertificateDirectory = { authorities: [], clients: [] };

/**
 * Reads a directory in the form of docker's certs.d: `*.crt` are authorities, `NAME.cert` and `NAME.key` a client certificate.
 *
 * @param onFault  hears of a file that cannot be used, and may throw; without a throw the file is passed over.
 * @see https://docs.docker.com/engine/security/certificates/
 */
export async function readCertificateDirectory(
  directory: string,
  onFault: (fault: ImgcopyError) => void,
): Promise<CertificateDirectory> {
  const names = await namesIn(directory, onFault);
  const read = (name: string): Promise<string | undefined> => readOrTell(join(directory, name), onFault);
  const texts = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read));
  const clients = await Promise.all(
    baseNames(names).map(async (base): Promise<readonly ClientCertificate[]> => {
      const missing = ['.cert', '.key'].map((ending) => base + ending).find((name) => !names.includes(name));
      if (missing !== undefined) {
        onFault(fault(`${directory}: a client certificate needs both files; ${missing} is missing`));
        return [];
      }
      const [cert, key] = await Promise.all([read(`${base}.cert`), read(`${base}.key`)]);
      return cert === undefined || key === undefined ? [] : [{ cert, key, file: join(directory, `${base}.cert`) }];
    }),
  );
  return {
    authorities: texts.flatMap((text) => (text === undefined ? [] : certificatesIn(text))),
    clients: clients.flat(),
  };
}

async function namesIn(directory: string, onFault: (fault: ImgcopyError) => void): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    onFault(fault(`cannot read the certificates in ${directory}`, error));
    return [];
  }
}

function baseNames(names: readonly string[]): readonly string[] {
  return [...new Set(names.filter((name) => /\.(?:cert|key)$/.test(name)).map((name) => name.replace(/\.\w+$/, '')))];
}

async function readOrTell(path: string, onFault: (fault: ImgcopyError) => void): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1');
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    // A link to a folder: passed over as a folder is.
    if (systemErrorCode(error) !== 'EISDIR') onFault(fault(`cannot read ${path}`, error));
    return undefined;
  }
}

function fault(message: string, cause?: unknown): ImgcopyError {
  return new ImgcopyError(message, { code: 'ERR_CERT_DIR', kind: 'usage', cause });
}
