import { type Digest, digestAlgorithm, digestHex, isDigest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { printable, quote } from '../errors/printable.ts';
import type { Descriptor } from './descriptor.ts';
import { type JsonObject, rewriteList } from './edit-manifest.ts';
import { optionalString, parseJsonObject } from './json-fields.ts';
import { InvalidManifestError } from './manifest.ts';
import { MediaType } from './media-types.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from './parse-manifest.ts';

/** The file that marks an OCI image layout, and says its version. */
export const LAYOUT_FILE = 'oci-layout';

/** The file that lists the images of an OCI image layout. */
export const INDEX_FILE = 'index.json';

/** What `oci-layout` holds in a layout of ours. */
export const LAYOUT_FILE_BYTES: Buffer = Buffer.from('{"imageLayoutVersion":"1.0.0"}');

/** `oci-layout` is a version; more than this is something else. In bytes. */
export const MAX_LAYOUT_FILE_BYTES: number = 64 * 1024;

const REF_NAME = 'org.opencontainers.image.ref.name';
/** containerd and docker save put the whole name here, and the tag alone in the other annotation. */
const FULL_NAME = 'io.containerd.image.name';

/** How many names a message lists. */
const MAX_LISTED = 20;

/** An image that `index.json` lists. */
export interface LayoutImage {
  readonly descriptor: Descriptor;
  /** Its `org.opencontainers.image.ref.name`: a tag, or whatever else who wrote it chose. Undefined for an image without a name. */
  readonly name: string | undefined;
  /** Its `io.containerd.image.name`: registry, repository and tag. */
  readonly fullName: string | undefined;
}

/** What of a layout is meant. Both: the image under this name, which must have this digest. Neither: its one image; images without a name count only where none has one. */
export interface LayoutChoice {
  readonly name?: string | undefined;
  readonly digest?: Digest | undefined;
}

/** An image to be listed: under a name, or by its digest alone. */
export interface ImageToList {
  readonly descriptor: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>;
  readonly name: string | undefined;
}

/** The path of a blob or manifest in a layout, with `/` as the separator. */
export function layoutBlobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/**
 * Checks the content of `oci-layout`.
 * @param reference  the layout as the user names it, without name and digest of an image: `oci:lay`.
 * @throws ImgcopyError ERR_LAYOUT_VERSION for a version other than 1, ERR_INVALID_LAYOUT for what is no version.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md#oci-layout-file
 */
export function checkLayoutFile(bytes: Buffer, reference: string): void {
  const version = inFile(LAYOUT_FILE, reference, () => optionalString(parseJsonObject(bytes), 'imageLayoutVersion'));
  if (version !== undefined && /^1\.\d+\.\d+$/.test(version)) return;
  const found = version === undefined ? 'no imageLayoutVersion' : `imageLayoutVersion ${quote(version, 60)}`;
  throw new ImgcopyError(`the ${LAYOUT_FILE} file of ${reference} has ${found}, expected 1.0.0`, {
    code: 'ERR_LAYOUT_VERSION',
    hint: 'use a newer imgcopy, or write the layout again',
  });
}

/**
 * Reads `index.json`: the images of a layout, in its order.
 * @param reference  as for `checkLayoutFile`.
 * @throws ImgcopyError ERR_INVALID_LAYOUT
 */
export function parseLayoutIndex(bytes: Buffer, reference: string): readonly LayoutImage[] {
  const manifest = inFile(INDEX_FILE, reference, () => parseManifest(bytes, MediaType.ociIndex));
  if (manifest.kind !== 'index') {
    throw invalidLayout(`the ${INDEX_FILE} file of ${reference} is a ${manifest.mediaType}, expected an index`);
  }
  return manifest.manifests.map((descriptor) => ({
    descriptor,
    name: descriptor.annotations?.[REF_NAME] || undefined,
    fullName: descriptor.annotations?.[FULL_NAME] || undefined,
  }));
}

/**
 * The names that `findImage` finds the images of a layout by, each once, in the order of `index.json`. Where several images share a name, as in an archive
 * of two repositories, these are their full names.
 */
export function imageNames(images: readonly LayoutImage[]): readonly string[] {
  return [...new Set([...labels(images).values()].flatMap((name) => name ?? []))];
}

/**
 * Finds an image of a layout. Several names of one image are no reason to ask which is meant.
 * @param reference  as for `checkLayoutFile`.
 * @returns undefined for a digest, without a name, that `index.json` does not list. The image of a name may have another digest than the one asked for.
 * @throws ImgcopyError ERR_SEVERAL_IMAGES (kind `usage`) where several images are meant, ERR_IMAGE_NOT_FOUND (kind `not-found`) where none is.
 */
export function findImage(
  images: readonly LayoutImage[],
  { name, digest }: LayoutChoice,
  reference: string,
): LayoutImage | undefined {
  const named = name === undefined ? images : images.filter((image) => image.name === name || image.fullName === name);
  if (digest !== undefined) {
    const found = named.find((image) => image.descriptor.digest === digest);
    // A name must have this digest; a digest alone may be that of any manifest in the layout.
    if (found !== undefined || name === undefined) return found;
  }
  const meant = name === undefined ? withNameOrAll(images) : named;
  const [first] = meant;
  if (first === undefined) throw notFound(images, name, reference);
  if (new Set(meant.map((image) => image.descriptor.digest)).size > 1) throw severalImages(named, name, reference);
  return first;
}

/**
 * The bytes of `index.json` with further images. A name that is taken goes to the new image; the old one is then not listed any more. All else
 * stays: other images, fields that we do not know, the indentation.
 *
 * @param bytes  of the `index.json` that is there, which parseLayoutIndex has read; undefined for a new layout.
 * @returns the same bytes where there is nothing to change.
 * @throws ImgcopyError ERR_INVALID_LAYOUT where it would be too large.
 */
export function withImages(bytes: Buffer | undefined, images: readonly ImageToList[]): Buffer {
  const before = bytes ?? EMPTY_INDEX;
  const after = rewriteList(before, 'manifests', (entries) => images.reduce(withImage, entries));
  if (bytes !== undefined && isSameJson(bytes, after)) return bytes;
  if (after.length <= MAX_MANIFEST_BYTES) return after;
  throw invalidLayout(`the ${INDEX_FILE} file would have ${after.length} bytes, more than ${MAX_MANIFEST_BYTES}`);
}

function isSameJson(one: Buffer, other: Buffer): boolean {
  const [first, second] = [one, other].map((bytes) => JSON.stringify(JSON.parse(bytes.toString())));
  return first === second;
}

/**
 * The images that have a name, where any has. oras lists the instances of an index beside it, and skopeo what had a name before, without a name. Names that
 * are made of a digest are those of what refers to an image: an index of referrers, or a signature of cosign.
 */
function withNameOrAll(images: readonly LayoutImage[]): readonly LayoutImage[] {
  const named = images.filter(
    ({ name, fullName }) => fullName !== undefined || (name !== undefined && !OF_DIGEST.test(name)),
  );
  return named.length > 0 ? named : images;
}

const OF_DIGEST = /^sha(?:256|512)-[0-9a-f]{64}/;

const EMPTY_INDEX = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: [] }));

function withImage(entries: readonly JsonObject[], { descriptor, name }: ImageToList): readonly JsonObject[] {
  const { mediaType, digest, size } = descriptor;
  const isSame = (entry: JsonObject): boolean => entry['digest'] === digest;
  if (name === undefined) {
    return entries.some(isSame) ? entries : [...entries, { mediaType, digest, size }];
  }
  const kept = entries.filter((entry) => nameOf(entry) !== name || isSame(entry));
  if (kept.some((entry) => nameOf(entry) === name)) return kept;
  // An image without a name gets this one.
  const nameless = kept.findIndex((entry) => isSame(entry) && nameOf(entry) === undefined);
  const entry = kept[nameless] ?? { mediaType, digest, size };
  const annotations = { ...(entry['annotations'] as JsonObject | null | undefined), [REF_NAME]: name };
  const named = { ...entry, annotations };
  return nameless === -1 ? [...kept, named] : kept.with(nameless, named);
}

function nameOf(entry: JsonObject): unknown {
  return (entry['annotations'] as JsonObject | null | undefined)?.[REF_NAME] || undefined;
}

/** The name of each image that is meant for it alone, as far as it has one: else its full name, or one that it shares. */
function labels(images: readonly LayoutImage[]): ReadonlyMap<LayoutImage, string | undefined> {
  const owners = digestsBy(images, ({ name }) => name);
  return new Map(
    images.map((image) => {
      const isShared = (owners.get(image.name)?.size ?? 0) > 1;
      return [image, image.name === undefined || isShared ? (image.fullName ?? image.name) : image.name];
    }),
  );
}

function digestsBy(
  images: readonly LayoutImage[],
  keyOf: (image: LayoutImage) => string | undefined,
): ReadonlyMap<string | undefined, ReadonlySet<Digest>> {
  const digests = new Map<string | undefined, Set<Digest>>();
  for (const image of images) {
    const key = keyOf(image);
    digests.set(key, (digests.get(key) ?? new Set()).add(image.descriptor.digest));
  }
  return digests;
}

function inFile<T>(file: string, reference: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof InvalidManifestError)) throw error;
    throw invalidLayout(`the ${file} file of ${reference} is invalid`, error);
  }
}

function invalidLayout(message: string, cause?: unknown): ImgcopyError {
  return new ImgcopyError(message, {
    code: 'ERR_INVALID_LAYOUT',
    hint: 'write the layout again, or use another one',
    cause,
  });
}

function notFound(images: readonly LayoutImage[], name: string | undefined, reference: string): ImgcopyError {
  const missing = name === undefined ? `${reference} holds no image` : `${reference} has no image named ${quote(name)}`;
  return new ImgcopyError(
    images.length === 0 || name === undefined ? missing : `${missing}; it has ${listed(images)}`,
    {
      code: 'ERR_IMAGE_NOT_FOUND',
      kind: 'not-found',
      hint: images.length === 0 ? 'copy an image there first' : `name one of these: ${exampleOf(images, reference)}`,
    },
  );
}

function severalImages(images: readonly LayoutImage[], name: string | undefined, reference: string): ImgcopyError {
  const what = name === undefined ? '' : ` named ${quote(name)}`;
  return new ImgcopyError(`${reference} has several images${what}: ${listed(images)}`, {
    code: 'ERR_SEVERAL_IMAGES',
    kind: 'usage',
    hint: `name one of them: ${exampleOf(images, reference)}`,
  });
}

/** What tells images apart: their names, or the digests of those that have none of their own. */
function identities(images: readonly LayoutImage[]): readonly string[] {
  const names = labels(images);
  const owners = digestsBy(images, (image) => names.get(image));
  const identity = (image: LayoutImage): string => {
    const name = names.get(image);
    return name === undefined || owners.get(name)?.size !== 1 ? image.descriptor.digest : name;
  };
  return [...new Set(images.map(identity))];
}

function listed(images: readonly LayoutImage[]): string {
  const all = identities(images);
  const more = all.length > MAX_LISTED ? ` and ${all.length - MAX_LISTED} more` : '';
  return `${all.slice(0, MAX_LISTED).map(printable).join(', ')}${more}`;
}

function exampleOf(images: readonly LayoutImage[], reference: string): string {
  const [first = ''] = identities(images);
  return `${reference}${isDigest(first) ? '@' : ':'}${printable(first)}`;
}
