import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, buildIndex, type TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { filesOf } from '../transports/dir/image-directory.ts';
import { freePort } from '../support/http-servers.ts';

/** The image that is whole. */
export const good: TestImage = buildImage({ layers: { count: 2, size: 20_000 } });
/** A layer of it. */
export const layer: Digest = [...good.blobs.keys()].at(-1) ?? good.manifest.digest;

/** Registries and directories with all that can be wrong. To be disposed of. */
export class BadInputStage implements AsyncDisposable {
  readonly home: CliHome;
  readonly registry: TestRegistry;
  /** Asks for credentials. */
  readonly locked: TestRegistry;
  /** Has a certificate that nobody trusts. */
  readonly secure: TestRegistry;
  /** Where images are to go; another registry than the sources', for what is on the same one is mounted unseen. */
  readonly target: TestRegistry;
  readonly closedPort: number;

  constructor(
    registries: Pick<BadInputStage, 'registry' | 'locked' | 'secure' | 'target'>,
    home: CliHome,
    closedPort: number,
  ) {
    this.registry = registries.registry;
    this.locked = registries.locked;
    this.secure = registries.secure;
    this.target = registries.target;
    this.home = home;
    this.closedPort = closedPort;
  }

  /** Writes files into a new directory, and returns its path. */
  async directory(name: string, files: Iterable<readonly [string, string | Buffer]>): Promise<string> {
    const path = join(this.home.path, name);
    await mkdir(path, { recursive: true });
    for (const [file, content] of files) await writeFile(join(path, file), content);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.registry, this.locked, this.secure, this.target].map((registry) => registry.close()));
    await this.home[Symbol.asyncDispose]();
  }
}

export async function openBadInputStage(): Promise<BadInputStage> {
  const locked = await startRegistry({ auth: { kind: 'bearer', username: 'bob', password: 'right' } });
  locked.seed('app', '1', good);
  const secure = await startRegistry({ tls: selfSignedCertificate() });
  secure.seed('app', '1', good);
  const registries = { registry: await startMisbehaving(), locked, secure, target: await startRegistry() };
  return new BadInputStage(registries, await createCliHome(), await freePort());
}

/** The files of the good image with other content in place of its layer, or none. */
export function withLayer(content: Buffer | undefined): Iterable<readonly [string, Buffer]> {
  const files = new Map(filesOf(good));
  if (content === undefined) files.delete(digestHex(layer));
  else files.set(digestHex(layer), content);
  return files;
}

async function startMisbehaving(): Promise<TestRegistry> {
  const registry = await startRegistry();
  for (const name of ['app', 'huge', 'page', 'wrong-manifest', 'wrong-blob', 'busy', 'broken', 'rude'])
    registry.seed(name, '1', good);
  const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
  const images = platforms.map((platform) => ({ image: buildImage({ platform, layers: [] }), platform }));
  registry.seed('app', 'index', buildIndex({ images }));

  const answers = [
    { name: 'huge', status: 200, body: ' '.repeat(4 * 1024 * 1024 + 1) },
    { name: 'page', status: 200, body: '<html>Welcome</html>', headers: { 'content-type': 'text/html' } },
    { name: 'busy', status: 429, headers: { 'retry-after': '0' } },
    { name: 'broken', status: 500, body: 'out of order' },
    { name: 'rude', status: 418, body: '\u001B[2J\u001B]0;title\u0007teapot \u202Edesrever' },
  ];
  for (const { name, ...answer } of answers)
    registry.behave({ match: { method: 'GET', path: new RegExp(`${name}/manifests`) }, ...answer });
  registry.behave({ match: { path: /wrong-manifest\/manifests/ }, wrongBytes: true });
  registry.behave({ match: { path: new RegExp(`wrong-blob/blobs/${layer}`) }, wrongBytes: true });
  return registry;
}
