import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { selfSignedCertificate, type Certificate } from '../test/support/certificate.ts';

/** Names for registries on this machine that are not loopback, and the certificate that they are known by. */
export interface TlsNames extends AsyncDisposable {
  readonly source: string;
  readonly destination: string;
  readonly certificate: Certificate;
  /** Lets a tool trust the certificate beside what the system trusts, by all the variables that CI machines set. */
  readonly env: Readonly<Record<string, string>>;
  /** Begins a command that knows the names, and leaves the machine as it is. */
  readonly within: readonly string[];
}

const SYSTEM_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
const SYSTEM_DIRECTORY = '/etc/ssl/certs';

/** Makes the names; as root, for a command sees them in a mount namespace of its own. This process trusts the certificate as well. */
export async function openTlsNames(): Promise<TlsNames> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-bench-tls-'));
  const [source, destination] = ['source.bench.test', 'destination.bench.test'];
  const certificate = selfSignedCertificate([source, destination, '127.0.0.1']);
  const hosts = join(folder, 'hosts');
  await writeFile(hosts, `127.0.0.1 localhost ${source} ${destination}\n`);
  const bundle = join(folder, 'bundle.crt');
  const system = await readFile(SYSTEM_BUNDLE, 'utf8').catch(() => '');
  await writeFile(bundle, system + certificate.cert);
  setDefaultCACertificates([...getCACertificates('bundled'), certificate.cert]);
  return {
    source,
    destination,
    certificate,
    env: { SSL_CERT_FILE: bundle, NODE_EXTRA_CA_CERTS: bundle, SSL_CERT_DIR: SYSTEM_DIRECTORY },
    within: ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', hosts],
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
