import { isDigest, type Digest } from '../../digest/digest.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

/** Bytes of a file, or of a chunk of one, that have a compressed stream of their own. */
export interface TocPayload {
  /** Where that stream begins in the blob, in bytes. */
  readonly offset: number;
  /** Where the stream of the file's last chunk ends; only storage's zstd:chunked says so, on the file's own entry. */
  readonly endOffset: number | undefined;
  /** Of the uncompressed bytes. */
  readonly digest: Digest;
}

/** An entry of a table of contents, as far as it tells what the blob's bytes are. */
export interface TocEntry {
  /**
   * All that the TOC knows of the entry's tar header: equal texts mean equal headers, as far as one can see. Undefined for a chunk past
   * the first, which has no header.
   */
  readonly header: string | undefined;
  /** Of the whole file, in bytes; 0 for what is no regular file and for chunks past the first. */
  readonly size: number;
  /** Undefined for what has no content. */
  readonly payload: TocPayload | undefined;
}

// Numbers, texts and times of the header, in no particular order. What is not here is position (offset, endOffset, innerOffset, chunk…)
// or content (digest).
const HEADER_FIELDS = [
  'type',
  'name',
  'linkName',
  'mode',
  'size',
  'uid',
  'gid',
  'modtime',
  'accesstime',
  'changetime',
  'devMajor',
  'devMinor',
];

/**
 * Reads entries in the order of the TOC.
 *
 * @see https://github.com/containers/storage/blob/main/pkg/chunked/internal/minimal/compression.go (FileMetadata)
 * @see https://github.com/containerd/stargz-snapshotter/blob/main/estargz/types.go (TOCEntry)
 */
export class TocEntryReader {
  readonly #users = new OwnerNames();
  readonly #groups = new OwnerNames();

  /** @throws UnusableTailError where the value is no entry. */
  read(value: unknown): TocEntry {
    const fields = objectOf(value);
    if (fields['type'] === 'chunk') return { header: undefined, size: 0, payload: payloadOf(fields) };
    const size = fields['type'] === 'reg' ? (lengthIn(fields, 'size') ?? 0) : 0;
    return { header: this.#header(fields), size, payload: size > 0 ? payloadOf(fields) : undefined };
  }

  #header(fields: Fields): string {
    const user = this.#users.nameOf(fields['uid'], textIn(fields, 'userName'));
    const group = this.#groups.nameOf(fields['gid'], textIn(fields, 'groupName'));
    const xattrs = Object.entries(objectOf(fields['xattrs'] ?? {})).flatMap(([name, text]) => [name, scalar(text)]);
    return JSON.stringify([...HEADER_FIELDS.map((name) => scalar(fields[name])), user, group, xattrs]);
  }
}

/** Names of owners, which eStargz writes only where they change for an id. */
class OwnerNames {
  readonly #names = new Map<unknown, string>();

  nameOf(id: unknown, name: string | undefined): string {
    if (name !== undefined) this.#names.set(id, name);
    return this.#names.get(id) ?? '';
  }
}

/** The fields of a JSON object, unchecked. */
export type Fields = Readonly<Record<string, unknown>>;

function payloadOf(fields: Fields): TocPayload {
  const offset = lengthIn(fields, 'offset');
  // Storage leaves chunkDigest out where a file has one chunk: it would be the file's digest.
  const digest = fields['chunkDigest'] ?? fields['digest'];
  if (offset === undefined || typeof digest !== 'string' || !isDigest(digest)) {
    throw new UnusableTailError('an entry has content without place or digest');
  }
  return { offset, endOffset: lengthIn(fields, 'endOffset'), digest };
}

/** @throws UnusableTailError where the value is no JSON object. */
export function objectOf(value: unknown): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new UnusableTailError('a part of it is not an object');
}

/** A size or an offset. Zero is left out by the writers. */
function lengthIn(fields: Fields, name: string): number | undefined {
  const value = fields[name];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new UnusableTailError('an entry has a number that is not a size');
}

function textIn(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || typeof value === 'string') return value;
  throw new UnusableTailError('an entry has a name that is not a string');
}

function scalar(value: unknown): string | number | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string' || typeof value === 'number') return value;
  throw new UnusableTailError('an entry has a field that is neither text nor number');
}
