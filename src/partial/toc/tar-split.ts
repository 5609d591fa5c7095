import { createHash } from 'node:crypto';
import { objectOf } from './toc-entry.ts';
import { UnusableTailError } from './unusable-tail-error.ts';

/** Size of a tar-split's text, about 1 KiB an entry. It is never in memory as a whole. */
export const MAX_TAR_SPLIT_TEXT_BYTES: number = 256 * 1024 * 1024;

/** A record holds at most 1 MiB of padding, in base64. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;

const FILE = 1;
const SEGMENT = 2;

/**
 * Digests (hex, sha256) of all that is between the contents of a tar's files: the headers and padding before the first content, between each
 * two, and after the last. One more than there are files that are not empty.
 *
 * @param text  JSON, a record a line: `{"type":2,"payload":"<base64 of raw bytes>"}` for headers and padding, `{"type":1,"size":<bytes>}` for
 *   a file's content.
 * @throws UnusableTailError where it is no tar-split.
 * @see https://github.com/vbatts/tar-split/blob/main/tar/storage/entry.go
 */
export async function gapDigests(text: AsyncIterable<Buffer>): Promise<readonly string[]> {
  const digests: string[] = [];
  let gap = createHash('sha256');
  for await (const line of lines(text)) {
    const { type, payload, size } = recordOf(line);
    if (type === SEGMENT && typeof payload === 'string') {
      gap.update(payload, 'base64');
    } else if (type === FILE && typeof size === 'number' && size > 0) {
      digests.push(gap.digest('hex'));
      gap = createHash('sha256');
    }
  }
  return [...digests, gap.digest('hex')];
}

async function* lines(text: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of text) {
    // Names that are not UTF-8 come in base64 (name_raw), so the text is ASCII or UTF-8; only its structure matters here.
    const parts = (rest + chunk.toString('latin1')).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > MAX_LINE_BYTES) throw new UnusableTailError('a record of its tar-split is too long');
    yield* parts;
  }
  if (rest !== '') yield rest;
}

function recordOf(line: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(line));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UnusableTailError('a record of its tar-split is broken');
  }
}
