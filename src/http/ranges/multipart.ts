import type { Readable } from 'node:stream';
import { quote } from '../../errors/printable.ts';
import { type ContentRange, parseContentRange } from './content-range.ts';
import { MultipartInput } from './multipart-input.ts';
import { RangeBodyError } from './range-errors.ts';
import { packetsOf } from './range-packets.ts';

const HEADER_LIMIT = 8 * 1024;
const PREAMBLE_LIMIT = 64 * 1024;
/** What is read after the last part to keep the connection, in bytes. */
const EPILOGUE_LIMIT = 64 * 1024;

const CRLF = Buffer.from('\r\n');
const END_OF_HEADERS = Buffer.from('\r\n\r\n');
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~\w]+):(.*)$/s;

/** One part of a multipart/byteranges body. */
export interface RangePart {
  /** By name in lower case; values of a header that came more than once are joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** What Content-Range says. */
  readonly range: ContentRange;
  /** The bytes of the range as they arrive. What is not read when the next part is asked for is skipped. */
  readonly body: AsyncIterable<Buffer>;
}

/**
 * Reads the parts of a multipart/byteranges body as they arrive. A part is as long as its Content-Range says, and the boundary must follow; so
 * the content is not searched, and may contain anything. Parts come in the order of the server. Leaving the loop destroys the body.
 *
 * @throws RangeBodyError ERR_BAD_MULTIPART where the body departs from the grammar, a part has no valid Content-Range or folded headers, its
 *   headers are longer than 8 KiB, or the preamble longer than 64 KiB; ERR_SHORT_RANGE where the body breaks off or ends too early.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.6
 * @see https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
 */
export async function* multipartParts(body: Readable, boundary: string): AsyncGenerator<RangePart, void, undefined> {
  // The first boundary may stand at the very start, without the line break that belongs to all others.
  const input = new MultipartInput(packetsOf(body), CRLF);
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  try {
    await skipPreamble(input, delimiter);
    while (!(await isClosing(input))) {
      const headers = parseHeaders(await input.takeUntil(END_OF_HEADERS, HEADER_LIMIT, 'the header of a part'));
      const range = parseContentRange(headers.get('content-range'));
      if (range === undefined)
        throw malformed(`a part has no valid Content-Range: ${quote(headers.get('content-range') ?? '')}`);
      const content = new PartContent(input, range.end - range.start);
      yield { headers, range, body: content };
      await content.skip();
      await takeDelimiter(input, delimiter);
    }
    await input.finish(EPILOGUE_LIMIT);
  } finally {
    await input.close();
  }
}

/** Takes everything up to and including the first delimiter. A line that only begins like one is passed over. */
async function skipPreamble(input: MultipartInput, delimiter: Buffer): Promise<void> {
  for (let left = PREAMBLE_LIMIT; ;) {
    const skipped = await input.takeUntil(delimiter, left, 'the preamble');
    const next = (await input.peek(2)).toString('latin1');
    if (next === '--' || /^[ \t\r]/.test(next)) return;
    left -= Math.min(left, skipped.length + delimiter.length);
  }
}

/** Whether a delimiter that was just taken is the last. */
async function isClosing(input: MultipartInput): Promise<boolean> {
  return (await input.peek(2)).equals(Buffer.from('--'));
}

async function takeDelimiter(input: MultipartInput, delimiter: Buffer): Promise<void> {
  const found = await input.peek(delimiter.length);
  if (!found.equals(delimiter)) throw malformed('a part is not followed by the boundary where its Content-Range ends');
  input.skip(delimiter.length);
}

/** @param block  the rest of the delimiter's line, which may be padded with white space, and the header lines below it. */
function parseHeaders(block: Buffer): Map<string, string> {
  const [padding = '', ...lines] = block.toString('latin1').split('\r\n');
  if (padding.trim() !== '') throw malformed(`a boundary is followed by ${quote(padding, 80)}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw malformed(`a part has a header line that is folded or has no name: ${quote(line, 80)}`);
    }
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    headers.set(key, earlier === undefined ? value.trim() : `${earlier}, ${value.trim()}`);
  }
  return headers;
}

class PartContent implements AsyncIterable<Buffer> {
  readonly #input: MultipartInput;
  #left: number;

  constructor(input: MultipartInput, length: number) {
    this.#input = input;
    this.#left = length;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    while (this.#left > 0) {
      const bytes = await this.#input.takeSome(this.#left);
      this.#left -= bytes.length;
      yield bytes;
    }
  }

  async skip(): Promise<void> {
    while (this.#left > 0) this.#left -= (await this.#input.takeSome(this.#left)).length;
  }
}

function malformed(reason: string): RangeBodyError {
  return new RangeBodyError('ERR_BAD_MULTIPART', `a multipart answer cannot be read: ${reason}`);
}
