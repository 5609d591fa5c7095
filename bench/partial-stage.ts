import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fixtureImage, type FixtureFormat, type FixtureVersion } from '../test/support/fixture-images.ts';
import { startRealRegistry, type RealRegistry } from '../test/support/real-registries.ts';
import { realTool } from '../test/support/real-tools.ts';
import { pushImage } from './images.ts';
import { startCountingProxy, type CountingProxy } from './partial-proxy.ts';
import type { RegistryOrFolder } from './peers.ts';
import { pushBlob, pushManifest, tagDigest, type PushedBlob } from './push.ts';
import { spawnSlowLink } from './slow-link-process.ts';

/** Of distribution: Debian's docker-registry, and the CNCF's. */
export type RegistryKind = '2.8' | '3';

/** What a copy is made into. */
export type Target = 'dir:' | 'registry';

export interface CountedRegistry {
  readonly registry: RealRegistry;
  readonly proxy: CountingProxy;
}

/** A source and a destination of one kind, and a place for files. Disposing of it leaves nothing behind. */
export interface Stage extends AsyncDisposable {
  readonly kind: RegistryKind;
  readonly source: CountedRegistry;
  readonly destination: CountedRegistry;
  /** `host:port` of the source as copies see it: behind a line, and counted. */
  readonly sourceHost: string;
  readonly folder: string;
}

/** An image in a source, and the layer in it that counts. */
export interface PushedImage {
  /** `name:tag` */
  readonly path: string;
  readonly manifestDigest: string;
  readonly config: PushedBlob;
  readonly layer: PushedBlob;
}

const programs: Readonly<Record<RegistryKind, string>> = { '2.8': 'docker-registry', '3': 'registry' };
const tag = 'app';

// The source is clearly the farther side, so that pieces are taken from the destination however busy the machine is; and a large layer comes
// slowly enough to be cut where it is to be cut.
const sourceLine = { roundTripMs: 40, bytesPerSecondPerConnection: 3e6 };

/** @throws Error when registries of the kind are not installed. */
export async function openStage(kind: RegistryKind): Promise<Stage> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-bench-partial-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const source = await startCounted(undo, kind);
  const destination = await startCounted(undo, kind);
  const line = await spawnSlowLink({ target: source.proxy.host, ...sourceLine });
  undo.defer(() => line.close());
  const started = undo.move();
  return {
    kind,
    source,
    destination,
    sourceHost: line.host,
    folder,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

/** Makes an empty home for copies. */
export async function makeHome({ folder }: Stage): Promise<string> {
  return await mkdtemp(join(folder, 'home-'));
}

/** Puts one version of a fixture into the source; its app layer counts. */
export async function pushFixture(
  { source }: Stage,
  format: FixtureFormat,
  version: FixtureVersion,
): Promise<PushedImage> {
  const { manifest, manifestBytes, config, layers, blob } = await fixtureImage(format, version);
  const repository = { url: source.registry.url, name: format };
  for (const { digest } of [config, ...layers]) await pushBlob(repository, Readable.from([await blob(digest)]));
  await pushManifest(repository, manifestBytes, { mediaType: manifest.mediaType ?? '', as: version });
  return { path: `${format}:${version}`, manifestDigest: manifest.digest, config, layer: layers[1] };
}

/** Puts an image of one layer of about that size into the source. */
export async function pushLargeLayer({ source }: Stage, name: string, bytes: number): Promise<PushedImage> {
  const { url } = source.registry;
  const manifestDigest = await pushImage({ url, name }, tag, { layers: [bytes] });
  const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' };
  const answer = await fetch(`${url}/v2/${name}/manifests/${tag}`, { headers });
  const { config, layers } = (await answer.json()) as { readonly config: PushedBlob; readonly layers: [PushedBlob] };
  return { path: `${name}:${tag}`, manifestDigest, config, layer: layers[0] };
}

/** A place for an image at the destination. */
export function placeFor({ folder, destination }: Stage, target: Target, name: string): RegistryOrFolder {
  return target === 'dir:' ? { folder: join(folder, name) } : { registry: `${destination.proxy.host}/${name}:${tag}` };
}

/** @throws Error when another image than that is there. Of the blobs of a registry, it has checked the digests itself. */
export async function checkArrived(
  { destination }: Stage,
  place: RegistryOrFolder,
  { manifestDigest, layer }: PushedImage,
): Promise<void> {
  if ('registry' in place) {
    const [, name = ''] = /^[^/]*\/(.*):[^:]*$/.exec(place.registry) ?? [];
    expectDigest(await tagDigest({ url: destination.registry.url, name }, tag), manifestDigest);
  } else {
    expectDigest(await fileDigest(join(place.folder, 'manifest.json')), manifestDigest);
    expectDigest(await fileDigest(join(place.folder, layer.digest.replace('sha256:', ''))), layer.digest);
  }
}

async function startCounted(undo: AsyncDisposableStack, kind: RegistryKind): Promise<CountedRegistry> {
  const program = realTool(programs[kind]);
  if (program === undefined) throw new Error(`distribution ${kind} is not installed (${programs[kind]})`);
  const registry = await startRealRegistry(program);
  undo.defer(() => registry.stop());
  const proxy = await startCountingProxy(registry.host);
  undo.defer(() => proxy.close());
  return { registry, proxy };
}

function expectDigest(found: string | undefined, wanted: string): void {
  if (found !== wanted) throw new Error(`the destination has ${found} in place of ${wanted}`);
}

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest('hex')}`;
}
