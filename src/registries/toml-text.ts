import { parse, TomlError } from 'smol-toml';
import type { ImgcopyError } from '../errors/imgcopy-error.ts';

export type Table = Readonly<Record<string, unknown>>;

export interface TomlSource {
  /** The path of the file. */
  readonly file: string;
  readonly text: string;
}

export interface TomlFault {
  readonly line: number;
  readonly problem: string;
}

/**
 * Reads TOML.
 * @param fail  makes the error for a text that is not TOML.
 */
export function parseToml({ text }: TomlSource, fail: (fault: TomlFault) => ImgcopyError): Table {
  try {
    return parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [problem = ''] = error.message.split('\n');
    throw fail({ line: error.line, problem: `invalid TOML: ${problem.replace(/^Invalid TOML document: /, '')}` });
  }
}

/** A field of a table. As in Go's parser, another case of its name will do where there is no exact one. */
export function fieldOf(table: Table, name: string): unknown {
  if (Object.hasOwn(table, name)) return table[name];
  const other = Object.keys(table).find((key) => key.toLowerCase() === name);
  return other === undefined ? undefined : table[other];
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Of the lines of a text: which one first holds this, from one on and before another; the first of them where none does. Lines count from 1. */
export function lineOf(
  text: string,
  wanted: string | RegExp,
  { from = 1, before = Infinity }: { readonly from?: number; readonly before?: number } = {},
): number {
  const lines = text.split('\n').slice(from - 1, before - 1);
  const at = lines.findIndex((line) => (typeof wanted === 'string' ? line.includes(wanted) : wanted.test(line)));
  return from + Math.max(0, at);
}
