import { digestAlgorithm, digestHex, type Digest } from '../digest/digest.ts';
import type { Descriptor } from './descriptor.ts';
import { parseJsonObject, withoutUndefined, type JsonNode } from './json-fields.ts';
import type { ImageIndex, Manifest } from './manifest.ts';
import { InvalidManifestError, MAX_MANIFEST_BYTES, parseManifest } from './parse-manifest.ts';
import { MediaType } from './media-types.ts';
import { parseDescriptors } from './parse-descriptor.ts';

/** A manifest that refers to another one, and how an index of what refers to that names it. */
export interface Referrer {
  readonly subject: Digest;
  readonly descriptor: Descriptor;
}

/** Undefined where a manifest refers to nothing. @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
export function asReferrer(
  { bytes, digest }: { readonly bytes: Buffer; readonly digest: Digest },
  manifest: Manifest,
): Referrer | undefined {
  if (manifest.kind === 'schema1' || manifest.subject === undefined) return undefined;
  const { mediaType, annotations } = manifest;
  const artifactType = artifactTypeOf(manifest);
  const descriptor = withoutUndefined<Descriptor>({
    mediaType,
    digest,
    size: bytes.length,
    annotations,
    artifactType,
  });
  return { subject: manifest.subject.digest, descriptor };
}

/** What kind of artifact a manifest is: of an image that does not say, the type of its config. */
export function artifactTypeOf(manifest: Manifest): string | undefined {
  if (manifest.kind === 'schema1') return undefined;
  return manifest.artifactType ?? (manifest.kind === 'image' ? manifest.config?.mediaType : undefined);
}

/**
 * The tag under which clients keep an index of what refers to a manifest, where the registry keeps none.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema
 */
export function referrersTag(subject: Digest): string {
  // A tag has at most 128 characters: the specification cuts the hex digits of sha512.
  return `${digestAlgorithm(subject)}-${digestHex(subject).slice(0, 64)}`;
}

/**
 * Reads an index of what refers to a manifest.
 * @returns undefined where the bytes are no such index. They may be those of the subject itself, which GitLab gives for the tag (oras-go#1396).
 */
export function parseReferrersIndex(bytes: Buffer, mediaType?: string): ImageIndex | undefined {
  try {
    const index = parseManifest(bytes, mediaType);
    return index.kind === 'index' && index.mediaType === MediaType.ociIndex ? index : undefined;
  } catch (error) {
    if (error instanceof InvalidManifestError) return undefined;
    throw error;
  }
}

/**
 * Reads what a referrers API answers, which may be larger than a manifest.
 * @returns undefined where the bytes are no index of any kind: servers answer with a page of their own, or with nothing.
 * @throws InvalidManifestError where an entry cannot be read.
 */
export function parseReferrersPage(bytes: Buffer): readonly Descriptor[] | undefined {
  const document = jsonObject(bytes);
  if (document === undefined) return undefined;
  const { mediaType = MediaType.ociIndex, manifests } = document.fields;
  const isIndex = mediaType === MediaType.ociIndex && (Array.isArray(manifests) || manifests === null);
  return isIndex ? parseDescriptors(document, 'manifests') : undefined;
}

function jsonObject(bytes: Buffer): JsonNode | undefined {
  try {
    return parseJsonObject(bytes);
  } catch {
    return undefined;
  }
}

/**
 * The index with entries for what it does not name yet, at its end. Every byte of what is there stays.
 *
 * @param bytes  of an index; undefined makes one.
 * @returns the bytes as they are where all is named.
 * @throws InvalidManifestError where the result would be too large.
 */
export function addReferrers(bytes: Buffer | undefined, referrers: readonly Descriptor[]): Buffer {
  const missing = unlistedReferrers(bytes, referrers);
  if (bytes !== undefined && missing.length === 0) return bytes;
  const added =
    bytes === undefined
      ? Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: missing }))
      : appendToList(bytes, 'manifests', missing);
  if (added.length <= MAX_MANIFEST_BYTES) return added;
  throw new InvalidManifestError(`it would have ${added.length} bytes, more than ${MAX_MANIFEST_BYTES}`);
}

/** What an index does not name; all where there is no index. */
export function unlistedReferrers(bytes: Buffer | undefined, referrers: readonly Descriptor[]): readonly Descriptor[] {
  if (bytes === undefined) return referrers;
  const index = parseReferrersIndex(bytes);
  if (index === undefined) throw new Error('only an index lists referrers');
  const listed = new Set(index.manifests.map(({ digest }) => digest));
  return referrers.filter(({ digest }) => !listed.has(digest));
}

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]|[^\s"{}[\],:]+/g;

/**
 * Adds to a list of a JSON object, or makes it where it is absent. Writing the parsed object again would lose what JavaScript does not hold: large numbers,
 * the way that text is escaped, keys that come twice.
 */
function appendToList(bytes: Buffer, name: string, items: readonly object[]): Buffer {
  const list = items.map((item) => JSON.stringify(item)).join(',');
  // A character a byte, so that positions are those of the bytes.
  const text = bytes.toString('latin1');
  let depth = 0;
  let previous = '';
  let key = '';
  let place = { start: 0, end: 0, added: '' };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const isOwn = depth === 1 && previous !== '{' && previous !== ',';
    if (token === '}' || token === ']') depth -= 1;
    // Of a name that comes twice, the last counts.
    if (token === ']' && depth === 1 && key === name)
      place = { start: index, end: index, added: previous === '[' ? list : `,${list}` };
    if (token === '}' && depth === 0 && place.added === '')
      place = { start: index, end: index, added: `,${JSON.stringify(name)}:[${list}]` };
    if (token === '{' || token === '[') depth += 1;
    else if (isOwn && token === 'null' && key === name)
      place = { start: index, end: index + token.length, added: `[${list}]` };
    else if (depth === 1 && !isOwn && token.startsWith('"')) key = JSON.parse(token) as string;
    previous = token;
  }
  return Buffer.concat([bytes.subarray(0, place.start), Buffer.from(place.added), bytes.subarray(place.end)]);
}
