import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecureContext } from 'node:tls';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { certificatesIn, readAuthorities, type SystemAuthorities } from './authorities.ts';
import {
  NO_CERTIFICATES,
  readCertificateDirectory,
  type CertificateDirectory,
  type ClientCertificate,
} from './certificate-directory.ts';

/** What a user said of TLS for one side. */
export interface TlsSettings {
  /** Whether certificates are checked; where they are not, http is allowed as well. Default true. */
  readonly verify?: boolean | undefined;
  /** A file of further authorities, PEM. */
  readonly caFile?: string | undefined;
  /** A directory in the form of docker's certs.d, in place of those that are searched by the registry's name. */
  readonly certDir?: string | undefined;
  /** In place of a directory. */
  readonly certificates?: CertificateFiles | undefined;
}

/** Files of certificates in PEM, by their paths. */
export interface CertificateFiles {
  readonly authorities: readonly string[];
  /** Certificate and key may be in one file. */
  readonly clients: readonly { readonly cert: string; readonly key: string }[];
}

export interface TrustOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: the user has no home. */
  readonly homeDir?: string | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Where the system keeps its authorities; replaced in tests. */
  readonly system?: SystemAuthorities | undefined;
  /** Of all users; replaced in tests. */
  readonly certsD?: readonly string[] | undefined;
}

/** How TLS is spoken with what a registry's name leads to. */
export interface RegistryTrust {
  /** Whether certificates are checked. */
  readonly verify: boolean;
  /** For connections to the registry itself: one, or one for each client certificate that may be shown. Made once. */
  readonly own: () => Promise<readonly SecureContext[]>;
  /** For what the registry names: token servers, storage, and proxies. Shows no client certificate. */
  readonly others: () => Promise<SecureContext>;
}

const CERTS_D = ['/etc/containers/certs.d', '/etc/docker/certs.d'];

/** What a run trusts. Nothing is read before the first TLS connection; authorities are read once, and one context is made of each set of them. */
export class Trust {
  readonly #options: TrustOptions;
  readonly #contexts = new Map<string, Promise<SecureContext>>();
  #authorities: Promise<readonly string[]> | undefined;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  /** @param registry  `host[:port]`, as users write it: the name of its directory in certs.d. */
  of(registry: string, settings: TlsSettings): RegistryTrust {
    const { verify = true } = settings;
    const added = once(() => this.#added(registry, settings));
    return {
      verify,
      others: async () => await this.#context(verify, (await added()).authorities),
      own: once(async () => {
        const { authorities, clients } = await added();
        const contexts = clients.map((client) => this.#clientContext(verify, authorities, client, settings));
        const usable = (await Promise.all(contexts)).filter((context) => context !== undefined);
        return usable.length > 0 ? usable : [await this.#context(verify, authorities)];
      }),
    };
  }

  async #added(registry: string, settings: TlsSettings): Promise<CertificateDirectory> {
    const { caFile, certDir, certificates } = settings;
    const [given, found] = await Promise.all([
      caFile === undefined ? [] : readCaFile(caFile),
      certDir === undefined && certificates !== undefined
        ? readCertificateFiles(certificates)
        : this.#readDirectory(certDir ?? this.#certsD(registry), settings),
    ]);
    return { ...found, authorities: [...given, ...found.authorities] };
  }

  async #readDirectory(directory: string | undefined, settings: TlsSettings): Promise<CertificateDirectory> {
    return directory === undefined ? NO_CERTIFICATES : readCertificateDirectory(directory, this.#onFault(settings));
  }

  /** The first directory that there is for a registry. */
  #certsD(registry: string): string | undefined {
    const { env, homeDir, certsD = CERTS_D } = this.#options;
    const config = env['XDG_CONFIG_HOME'] || (homeDir && join(homeDir, '.config'));
    const directories = [...(config ? [join(config, 'containers/certs.d')] : []), ...certsD];
    return directories.map((directory) => join(directory, registry)).find((directory) => existsSync(directory));
  }

  /** A fault in a file or directory that was named ends the run; in a directory that was found, it is told. */
  #onFault({ certDir, certificates }: TlsSettings): (fault: ImgcopyError) => void {
    return (fault) => {
      if (certDir !== undefined || certificates !== undefined) throw fault;
      this.#options.onWarning?.(fault.message);
    };
  }

  async #context(verify: boolean, added: readonly string[]): Promise<SecureContext> {
    const key = verify ? added.join('') : 'unchecked';
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    const made = this.#newContext(verify, added);
    this.#contexts.set(key, made);
    return made;
  }

  async #newContext(
    verify: boolean,
    added: readonly string[],
    client?: Pick<ClientCertificate, 'cert' | 'key'>,
  ): Promise<SecureContext> {
    const { createSecureContext, rootCertificates } = await import('node:tls');
    if (!verify) return createSecureContext({ ca: [], ...client });
    const found = await (this.#authorities ??= readAuthorities(this.#options));
    // Where the system has none (node:slim), those of Node.js will do.
    const ca = found.length === 0 ? rootCertificates : found;
    return createSecureContext({ ca: [...ca, ...added], ...client });
  }

  async #clientContext(
    verify: boolean,
    added: readonly string[],
    { file, cert, key }: ClientCertificate,
    settings: TlsSettings,
  ): Promise<SecureContext | undefined> {
    try {
      return await this.#newContext(verify, added, { cert, key });
    } catch (error) {
      const message = `the client certificate ${file} and its key cannot be used`;
      this.#onFault(settings)(new ImgcopyError(message, { code: 'ERR_CERT_DIR', kind: 'usage', cause: error }));
      return undefined;
    }
  }
}

async function readCertificateFiles({ authorities, clients }: CertificateFiles): Promise<CertificateDirectory> {
  const [found, read] = await Promise.all([
    Promise.all(authorities.map(readCaFile)),
    Promise.all(
      clients.map(async ({ cert, key }) => ({ cert: await readPem(cert), key: await readPem(key), file: cert })),
    ),
  ]);
  return { authorities: found.flat(), clients: read };
}

async function readPem(path: string): Promise<string> {
  return await readFile(path, 'latin1').catch((error: unknown) => {
    throw caFileError(`cannot read the certificate file ${path}`, error);
  });
}

async function readCaFile(path: string): Promise<readonly string[]> {
  const certificates = certificatesIn(await readPem(path));
  if (certificates.length === 0) throw caFileError(`${path} does not contain a PEM certificate`);
  const { X509Certificate } = await import('node:crypto');
  for (const certificate of certificates) {
    try {
      // Checked here: a context passes over what it cannot read.
      void new X509Certificate(certificate);
    } catch (error) {
      throw caFileError(`${path} contains an invalid certificate`, error);
    }
  }
  return certificates;
}

function caFileError(message: string, cause?: unknown): ImgcopyError {
  return new ImgcopyError(message, { code: 'ERR_CERT_FILE', kind: 'usage', cause });
}

/** Remembers what was made, but not that making it failed. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return async () => {
    const current = (made ??= make());
    try {
      return await current;
    } catch (error) {
      if (made === current) made = undefined;
      throw error;
    }
  };
}
