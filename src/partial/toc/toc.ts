import { isDigest, type Digest } from '../../digest/digest.ts';
import { objectOf, TocEntryReader, type TocEntry } from './toc-entry.ts';
import { TocScanner } from './toc-scanner.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

/** Size of a TOC's text: some 350 bytes an entry. */
export const MAX_TOC_TEXT_BYTES: number = 32 * 1024 * 1024;

/** Entries are some 300 bytes each once they are read, of one TOC at a time. */
const MAX_ENTRIES = 100_000;

/** A table of contents, in the order of the tar stream and of the blob. */
export interface Toc {
  /** 1, or 2: a zstd:chunked layer whose tar headers are all written in one canonical way, so that it needs no tar-split. */
  readonly version: number;
  readonly entries: readonly TocEntry[];
  /** Of the compressed tar-split. */
  readonly tarSplitDigest: Digest | undefined;
}

/**
 * Reads a TOC while its text arrives.
 *
 * @throws UnusableTailError where it is broken, has too many entries or another version.
 */
export async function readToc(text: AsyncIterable<Buffer>): Promise<Toc> {
  const scanner = new TocScanner();
  const reader = new TocEntryReader();
  const entries: TocEntry[] = [];
  for await (const chunk of text) {
    for (const element of scanner.elementsIn(chunk)) {
      if (entries.length === MAX_ENTRIES) throw new UnusableTailError(`it has more than ${MAX_ENTRIES} entries`);
      entries.push(reader.read(element));
    }
  }
  return { ...frameOf(scanner.finish()), entries };
}

function frameOf(value: unknown): Omit<Toc, 'entries'> {
  const { version, entries, tarSplitDigest } = objectOf(value);
  if (!Array.isArray(entries)) throw new UnusableTailError('it has no list of entries');
  if (version !== 1 && version !== 2) throw new UnusableTailError('it has an unknown version');
  if (tarSplitDigest === undefined) return { version, tarSplitDigest };
  if (typeof tarSplitDigest === 'string' && isDigest(tarSplitDigest)) return { version, tarSplitDigest };
  throw new UnusableTailError('the digest of its tar-split is none');
}
