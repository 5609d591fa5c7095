import { UnusableTailError } from './unusable-tail-error.ts';

/** An entry with very many extended attributes takes a few KiB. */
const MAX_ENTRY_BYTES = 1024 * 1024;
/** What stands around the list of entries: a version and a digest. */
const MAX_FRAME_BYTES = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * Takes a JSON object apart that is one long list and little else, `{"version":1,"entries":[{…},{…}],…}`, while its text arrives: neither
 * the text nor all its values are in memory at once, and a hostile text of a million empty objects costs nothing.
 *
 * Text between the list's elements is not checked.
 */
export class TocScanner {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #sawList = false;
  readonly #element: Buffer[] = [];
  /** The text around the elements. */
  readonly #frame: Buffer[] = [];

  /**
   * The elements that end in this chunk.
   * @throws UnusableTailError where the text is not of this form.
   */
  *elementsIn(chunk: Buffer): Generator {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      const step = this.#step(byte);
      if (step > 0 && this.#depth === 2) {
        this.#openList(byte);
        keep(this.#frame, chunk.subarray(start, at + 1), MAX_FRAME_BYTES);
      } else if (step > 0 && this.#depth === 3) {
        start = at;
      } else if (step < 0 && this.#depth === 2) {
        keep(this.#element, chunk.subarray(start, at + 1), MAX_ENTRY_BYTES);
        yield parse(this.#element.splice(0));
      } else if (step < 0 && this.#depth === 1) {
        start = at;
      }
    }
    if (this.#depth < 2) keep(this.#frame, chunk.subarray(start), MAX_FRAME_BYTES);
    else if (this.#depth > 2) keep(this.#element, chunk.subarray(start), MAX_ENTRY_BYTES);
  }

  /**
   * The object itself, its list empty. To be called after the last chunk.
   * @throws UnusableTailError where the text has not ended or is not of this form.
   */
  finish(): unknown {
    if (this.#depth !== 0) throw new UnusableTailError('its JSON text is cut short');
    return parse(this.#frame);
  }

  /** @returns 1 or -1 where the byte opens or closes a list or object. */
  #step(byte: number): number {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return 0;
    }
    if (byte === QUOTE) this.#inString = true;
    const step = stepOf(byte);
    this.#depth += step;
    return step;
  }

  #openList(byte: number): void {
    if (this.#sawList || byte !== OPENING_BRACKET) throw new UnusableTailError('it has more than a list of entries');
    this.#sawList = true;
  }
}

function keep(parts: Buffer[], part: Buffer, limit: number): void {
  parts.push(part);
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  if (size > limit) throw new UnusableTailError(`a part of it is longer than ${limit} bytes`);
}

function parse(parts: readonly Buffer[]): unknown {
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // The cause would repeat a part of the text.
    throw new UnusableTailError('its JSON text is broken');
  }
}

function stepOf(byte: number): number {
  if (byte === OPENING_BRACE || byte === OPENING_BRACKET) return 1;
  if (byte === CLOSING_BRACE || byte === CLOSING_BRACKET) return -1;
  return 0;
}
