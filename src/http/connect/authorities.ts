import { readdirSync, readFileSync, readlinkSync, type Dirent } from 'node:fs';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';

export interface AuthoritiesOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Where the system keeps its authorities; replaced in tests. */
  readonly system?: SystemAuthorities | undefined;
}

/** The first of the files that can be read, and all directories. */
export interface SystemAuthorities {
  readonly files: readonly string[];
  readonly directories: readonly string[];
}

/**
 * The list of Go's crypto/x509, which docker, skopeo and crane go by.
 * @see https://github.com/golang/go/blob/master/src/crypto/x509/root_linux.go
 */
const SYSTEM: SystemAuthorities = {
  files: [
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/ca-bundle.pem',
    '/etc/pki/tls/cacert.pem',
    '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    '/etc/ssl/cert.pem',
  ],
  directories: ['/etc/ssl/certs', '/etc/pki/tls/certs'],
};

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in a text, PEM. */
export function certificatesIn(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? [];
}

/**
 * The certificates that the operating system and the environment trust, PEM, each once: to parse one takes 0.04 ms, and often several
 * variables name the same bundle of 150. Files that cannot be read are passed over, as in Go.
 *
 * SSL_CERT_FILE replaces the system's file, SSL_CERT_DIR its directories; NODE_EXTRA_CA_CERTS adds a file.
 * Read in one go: many small files take longer one by one in the thread pool.
 */
export async function readAuthorities({ env, onWarning, system }: AuthoritiesOptions): Promise<readonly string[]> {
  const found = new Set<string>();
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories, NODE_EXTRA_CA_CERTS: extra } = env;
  const add = (path: string): boolean => {
    const text = readIfPossible(path);
    for (const certificate of certificatesIn(text ?? '')) found.add(certificate);
    return text !== undefined;
  };
  const addNamed = (variable: string, path: string): void => {
    if (!add(path)) onWarning?.(`${variable} names ${path}, which cannot be read`);
  };

  const { files, directories: usual } = system ?? SYSTEM;
  const isElsewhere = system === undefined && /^(?:darwin|win32)$/.test(process.platform);
  if (isElsewhere) for (const certificate of await fromKeychain()) found.add(certificate);
  if (file) addNamed('SSL_CERT_FILE', file);
  else files.some(add);
  for (const directory of directories ? directories.split(':').filter(Boolean) : usual)
    for (const path of filesIn(directory)) add(path);
  if (extra) addNamed('NODE_EXTRA_CA_CERTS', extra);
  return [...found];
}

/** macOS and Windows keep them in a store of their own. */
async function fromKeychain(): Promise<readonly string[]> {
  const { getCACertificates } = await import('node:tls');
  return getCACertificates('system');
}

/** Debian's update-ca-certificates joins all that it makes links to into this file, beside the links. */
const JOINED = 'ca-certificates.crt';
const HASHED = /^[0-9a-f]{8}\.\d+$/;
const JOINED_FROM = /^\/usr\/(?:local\/)?share\/ca-certificates\//;

/** Without links to a file beside them: the names by hash that OpenSSL looks for. */
function filesIn(directory: string): readonly string[] {
  const entries = entriesOf(directory);
  const isJoined = entries.some(({ name }) => name === JOINED);
  return entries.flatMap((entry) => {
    if (isJoined && HASHED.test(entry.name)) return [];
    // Of hundreds of names, join() takes a millisecond.
    const path = `${directory}/${entry.name}`;
    if (!entry.isSymbolicLink()) return entry.isFile() ? [path] : [];
    const target = readlinkSync(path);
    // Reading them again takes 10 ms.
    return target.includes('/') && !(isJoined && JOINED_FROM.test(target)) ? [path] : [];
  });
}

function entriesOf(directory: string): readonly Dirent[] {
  return ifReadable(() => readdirSync(directory, { withFileTypes: true })) ?? [];
}

function readIfPossible(path: string): string | undefined {
  return ifReadable(() => readFileSync(path, 'latin1'));
}

function ifReadable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}
