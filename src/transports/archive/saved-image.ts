import { createHash } from 'node:crypto';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { type Digest, digestOf, isDigest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { printable, quote } from '../../errors/printable.ts';
import {
  nodeList,
  optionalNode,
  optionalStrings,
  parseJsonObject,
  requiredString,
} from '../../manifest/json-fields.ts';
import { type BaseCompression, compressionOfBytes, MAGIC_BYTES } from '../../manifest/layer-compression.ts';
import { InvalidManifestError } from '../../manifest/manifest.ts';
import { MediaType } from '../../manifest/media-types.ts';
import { type Archive, MAX_SMALL_BYTES, readSmall } from './archive.ts';
import type { ArchiveImage, WantedImage } from './archive-image.ts';
import { InvalidArchiveError, quoteName } from './archive-error.ts';
import { fullNameOrNone, tagInFullName } from './image-name.ts';

/** What lists the images of an archive of docker. */
export const MANIFEST_FILE = 'manifest.json';

/** An image as `manifest.json` lists it. @see https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md#combined-image-json--filesystem-changeset-format */
interface SavedImage {
  /** Members of the archive, the lowest layer first. */
  readonly config: string;
  readonly layers: readonly string[];
  /** In full. */
  readonly names: readonly string[];
}

interface SavedLayer {
  readonly member: string;
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Finds an image by the archive's `manifest.json`, and makes the manifest that it has none of: the one that Docker 25 makes for the same image, layers as they are.
 * @throws ImgcopyError of kind `not-found` where it is not there, ERR_SEVERAL_IMAGES where it is not clear which is meant, ERR_INVALID_ARCHIVE.
 */
export async function openSavedImage(
  archive: Archive,
  wanted: WantedImage,
  options: WaitOptions = {},
): Promise<ArchiveImage> {
  const { reference } = archive;
  const image = choose(await readList(archive, options), wanted, reference);
  // Of a stream, all is on the disk from here on.
  await archive.names(options);
  const config = await readNeeded(archive, image.config, options);
  const layers = await readLayers(archive, image, diffIdsIn(config, `${image.config} in ${reference}`), options);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MediaType.ociManifest,
      config: { mediaType: MediaType.ociConfig, digest: digestOf(config), size: config.length },
      layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
    }),
  );
  const [firstName] = image.names;
  const name = wanted.name ?? firstName;
  const members = new Map<Digest, string>(layers.map(({ digest, member }) => [digest, member]));
  members.set(digestOf(config), image.config);
  return {
    manifest: { bytes, mediaType: MediaType.ociManifest, digest: digestOf(bytes) },
    tag: name === undefined ? undefined : tagInFullName(name),
    fullName: name,
    memberOf: (digest) => members.get(digest),
  };
}

/** The full names of all images that `manifest.json` lists, each once. */
export async function readSavedNames(archive: Archive, options: WaitOptions = {}): Promise<readonly string[]> {
  const images = await readList(archive, options);
  return [...new Set(images.flatMap(({ names }) => names))];
}

async function readList(archive: Archive, options: WaitOptions): Promise<readonly SavedImage[]> {
  const where = `${MANIFEST_FILE} in ${archive.reference}`;
  const bytes = await readNeeded(archive, MANIFEST_FILE, options);
  return invalidIn(where, () => {
    const list = { fields: { [MANIFEST_FILE]: JSON.parse(bytes.toString()) as unknown }, path: '' };
    return nodeList(list, MANIFEST_FILE).map((node) => ({
      config: requiredString(node, 'Config'),
      layers: optionalStrings(node, 'Layers') ?? [],
      names: (optionalStrings(node, 'RepoTags') ?? []).map((name) => fullNameOrNone(name) ?? name),
    }));
  });
}

function choose(images: readonly SavedImage[], { name }: WantedImage, reference: string): SavedImage {
  const found = name === undefined ? images : images.filter(({ names }) => names.includes(name));
  const [first, ...others] = found;
  const names = images.flatMap((image) => image.names);
  const example = names[0] === undefined ? undefined : `name one of them: ${reference}:${printable(names[0])}`;
  if (first === undefined) {
    const what = name === undefined ? 'no image' : `no image named ${quote(name)}; it has ${listed(names)}`;
    throw new ImgcopyError(`${reference} has ${what}`, {
      code: 'ERR_IMAGE_NOT_FOUND',
      kind: 'not-found',
      side: 'source',
      ...(example !== undefined && { hint: example }),
    });
  }
  if (others.every(({ config }) => config === first.config)) return first;
  throw new ImgcopyError(`${reference} has several images: ${listed(names)}`, {
    code: 'ERR_SEVERAL_IMAGES',
    kind: 'usage',
    hint: example ?? 'save each of them to a file of its own',
  });
}

const MAX_LISTED = 20;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'no names';
  const more = names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : '';
  return `${names.slice(0, MAX_LISTED).map(printable).join(', ')}${more}`;
}

function diffIdsIn(config: Buffer, where: string): readonly Digest[] {
  return invalidIn(where, () => {
    const rootfs = optionalNode(parseJsonObject(config), 'rootfs');
    const ids = rootfs === undefined ? [] : (optionalStrings(rootfs, 'diff_ids') ?? []);
    return ids.map((id) => (isDigest(id) ? id : refuseDiffId(id)));
  });
}

function refuseDiffId(id: string): never {
  throw new InvalidManifestError(`rootfs.diff_ids should be digests, found ${quote(id)}`);
}

async function readLayers(
  archive: Archive,
  { layers, config }: SavedImage,
  diffIds: readonly Digest[],
  options: WaitOptions,
): Promise<readonly SavedLayer[]> {
  if (layers.length !== diffIds.length) {
    throw new InvalidArchiveError(
      `${MANIFEST_FILE} in ${archive.reference} names ${layers.length} layers, and ${quoteName(config)} has ${diffIds.length}`,
    );
  }
  const found: SavedLayer[] = [];
  for (const [index, member] of layers.entries()) {
    found.push(await readLayer(archive, member, diffIds[index] as Digest, options));
  }
  return found;
}

/** What is not compressed has its diff ID for a digest. Of what is compressed, as crane writes it, the digest has to be found. */
async function readLayer(archive: Archive, member: string, diffId: Digest, options: WaitOptions): Promise<SavedLayer> {
  const opened = await archive.open(member, options);
  if (opened === undefined) throw lacks(archive.reference, member);
  const { stream, size } = opened;
  const hash = createHash('sha256');
  let head: Buffer = Buffer.alloc(0);
  let compression: BaseCompression | undefined;
  for await (const bytes of stream as AsyncIterable<Buffer>) {
    hash.update(bytes);
    if (compression === undefined) {
      head = Buffer.concat([head, bytes]);
      if (head.length < MAGIC_BYTES) continue;
      compression = compressionOfBytes(head);
    }
    if (compression === 'uncompressed') break;
  }
  const { [compression ?? 'uncompressed']: mediaType } = LAYER_TYPES;
  const isPlain = compression === undefined || compression === 'uncompressed';
  return { member, mediaType, size, digest: isPlain ? diffId : `sha256:${hash.digest('hex')}` };
}

const LAYER_TYPES: Readonly<Record<BaseCompression, string>> = {
  uncompressed: MediaType.ociLayer,
  gzip: MediaType.ociLayerGzip,
  zstd: MediaType.ociLayerZstd,
};

async function readNeeded(archive: Archive, member: string, options: WaitOptions): Promise<Buffer> {
  const tooLarge = (size: number): Error =>
    new InvalidArchiveError(
      `${quoteName(member)} in ${archive.reference} has ${size} bytes, more than ${MAX_SMALL_BYTES}`,
    );
  const bytes = await readSmall(archive, member, { ...options, tooLarge });
  if (bytes === undefined) throw lacks(archive.reference, member);
  return bytes;
}

function lacks(reference: string, member: string): InvalidArchiveError {
  return new InvalidArchiveError(`${reference} lacks ${quoteName(member)}, which ${MANIFEST_FILE} names`);
}

function invalidIn<T>(where: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidManifestError || error instanceof SyntaxError)) throw error;
    throw new InvalidArchiveError(`${where} is invalid`, { cause: error });
  }
}
