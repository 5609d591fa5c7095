import { createHash, type Hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { describe } from '../test/support/images.ts';
import { tar } from '../test/support/tar-layer.ts';
import { pushBlob, pushManifest, type Repository } from './push.ts';

/** An image to measure with; the same plan makes the same bytes under the same version of Node.js. */
export interface ImagePlan {
  /** Sizes in bytes of the layers, of each platform. */
  readonly layers: readonly number[];
  /** More than one make an index, at most eight; no two layers are equal. Default 1. */
  readonly platforms?: number | undefined;
}

const types = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};

const architectures = ['amd64', 'arm64', '386', 'arm', 'ppc64le', 's390x', 'riscv64', 'loong64'];
const pieceBytes = 4 * 1024 * 1024;

/** Builds an image and pushes it to a registry. @returns the digest of its manifest or index. */
export async function pushImage(repository: Repository, tag: string, plan: ImagePlan): Promise<string> {
  const { layers, platforms = 1 } = plan;
  if (platforms === 1) return (await pushInstance(repository, { layers, architecture: 'amd64', as: tag })).digest;
  const manifests: object[] = [];
  for (const architecture of architectures.slice(0, platforms))
    manifests.push({
      ...(await pushInstance(repository, { layers, architecture })),
      platform: { os: 'linux', architecture },
    });
  return (await pushJson(repository, { schemaVersion: 2, mediaType: types.index, manifests }, tag)).digest;
}

interface Instance {
  readonly layers: readonly number[];
  readonly architecture: string;
  /** A tag. Default: its digest. */
  readonly as?: string;
}

type Described = ReturnType<typeof describe>;

async function pushInstance(repository: Repository, instance: Instance): Promise<Described> {
  const { architecture } = instance;
  const layers: object[] = [];
  const diffIds: string[] = [];
  for (const [index, size] of instance.layers.entries()) {
    const diff = createHash('sha256');
    const blob = await pushBlob(repository, layerOf(`${architecture}-${index}`, size, diff));
    layers.push({ mediaType: types.layer, ...blob });
    diffIds.push(`sha256:${diff.digest('hex')}`);
  }
  const config = jsonBytes({ os: 'linux', architecture, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } });
  await pushBlob(repository, Readable.from([config]));
  const manifest = { schemaVersion: 2, mediaType: types.manifest, config: describe(config, types.config), layers };
  return await pushJson(repository, manifest, instance.as);
}

async function pushJson(
  repository: Repository,
  value: { readonly mediaType: string; readonly [field: string]: unknown },
  as?: string,
): Promise<Described> {
  const bytes = jsonBytes(value);
  const described = describe(bytes, value.mediaType);
  await pushManifest(repository, bytes, { mediaType: value.mediaType, as: as ?? described.digest });
  return described;
}

/** A gzipped tar of about that size. It is stored, not deflated: copiers do not look inside, and sizes are as asked. */
function layerOf(name: string, size: number, diff: Hash): AsyncIterable<Buffer> {
  return Readable.from(tarOf(name, size, diff)).pipe(createGzip({ level: 0, chunkSize: 1024 * 1024 }));
}

/** Files of up to 4 MiB, each a piece of a real one: the executable of Node.js, from places that the layer's name gives. */
function* tarOf(name: string, size: number, diff: Hash): Generator<Buffer> {
  const real = executable();
  const offset = createHash('sha256').update(name).digest().readUInt32BE();
  for (let start = 0; start < size; start += pieceBytes) {
    const from = (offset + start) % (real.length - pieceBytes);
    const piece = real.subarray(from, from + Math.min(pieceBytes, size - start));
    const archive = tar({ [`${name}/${start}`]: piece });
    const isLast = start + pieceBytes >= size;
    // The two blocks of zeros at the end of an archive belong to the last one alone.
    const bytes = isLast ? archive : archive.subarray(0, -1024);
    diff.update(bytes);
    yield bytes;
  }
}

let executableBytes: Buffer | undefined;

function executable(): Buffer {
  return (executableBytes ??= readFileSync(process.execPath));
}

function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
