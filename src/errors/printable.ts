/** Controls (C0 and C1), what turns text around or hides it, ends of lines and paragraphs, and halves of characters. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const UNPRINTABLE_RUN = new RegExp(`${UNPRINTABLE.source}+`, 'gu');

/** A text of anybody's as a part of one line that people read: it can neither steer a terminal nor begin another line. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE_RUN, ' ');
}

/** The beginning of such a text. @param length  in characters. */
export function excerpt(text: string, length = 200): string {
  const clean = printable(text.slice(0, 2 * length)).trim();
  return clean.length > length ? `${clean.slice(0, length)}…` : clean;
}

/** The beginning of a text in quotes, with escapes in the place of what cannot be seen: for messages that say what was found. */
export function quote(text: string, length = 160): string {
  return printableJson(text.length > length ? `${text.slice(0, length)}…` : text);
}

/** A value as JSON that a terminal can show; JSON leaves C1 controls and marks that turn text around as they are. */
export function printableJson(value: unknown): string {
  return escapeUnprintable(JSON.stringify(value));
}

/** Lines of text or JSON with escapes, as JSON has them, in the place of all that is unprintable but line feeds and tabs. */
export function escapeUnprintable(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(UNPRINTABLE, (character) => (/[\n\t]/.test(character) ? character : escapeOf(character)));
}

function escapeOf(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
