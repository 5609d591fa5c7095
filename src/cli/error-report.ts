import { styleText } from 'node:util';
import type { Command, CommanderError } from 'commander';
import { endName, ImgcopyError, printable, type ErrorKind } from '../index.ts';

const STATUS: Readonly<Record<ErrorKind, number>> = {
  failed: 1,
  usage: 2,
  'not-found': 3,
  denied: 4,
  integrity: 5,
  'rate-limited': 6,
};

/** Lines of one message. */
const MAX_CAUSES = 10;

/** What reads our output has stopped reading: nobody is there to be told, and a shell expects the status of a program that SIGPIPE ended. */
export function isReaderGone(error: unknown): boolean {
  return error instanceof ImgcopyError && error.code === 'ERR_READER_GONE';
}

export function exitStatusOf(error: unknown): number {
  if (isReaderGone(error)) return 141;
  const [first] = causesOf(error);
  return first instanceof ImgcopyError ? STATUS[first.kind] : 1;
}

/** What went wrong was reported; the exit status is left to give. */
export class ReportedFailure extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}

export interface ErrorFormat {
  /** Whether stack traces are wanted. */
  readonly stack: boolean;
  /** Whether there are two sides, so that one has to be named. */
  readonly sides: boolean;
  /** Of the terminal, to wrap lines between words. Default: no limit. */
  readonly columns?: number | undefined;
}

/**
 * What failed, then side, request and answer, then what to do:
 *
 *     imgcopy: copying layer sha256:9f1c… to docker://registry.test/app:1
 *       destination: PATCH https://registry.test/v2/app/blobs/uploads/…: 413 (SIZE_INVALID)
 *       hint: ask the operator of the registry to raise the limit    [ERR_UPLOAD_TOO_LARGE]
 */
export function formatError(failure: unknown, { stack, sides, columns = Infinity }: ErrorFormat): string {
  const [error, ...others] = causesOf(failure);
  const lines = [`imgcopy: ${printable(messageOf(error))}`];
  const sideOf = (cause: unknown): string =>
    sides && cause instanceof ImgcopyError && cause.side !== undefined ? `${endName(cause)}: ` : '';
  for (const cause of others) {
    const message = printable(messageOf(cause));
    // OpenSSL's own words say no more to a user; they are in the stack trace.
    if (/^(?:EPROTO|ERR_SSL)/.test(codeOf(cause))) continue;
    const isNews = !lines.some((line) => line.includes(message));
    if (isNews) lines.push(`  ${sideOf(cause)}${message}`);
  }
  if (error instanceof ImgcopyError) {
    const code = `[${error.code}]`;
    if (error.hint === undefined) lines[lines.length - 1] += `    ${code}`;
    else lines.push(`  hint: ${printable(sides ? error.hint : withoutSides(error.hint))}    ${code}`);
  }
  const wrapped = lines.flatMap((line) => wrap(line, columns));
  if (stack) wrapped.push(...[error, ...others].flatMap(stackOf));
  return `${wrapped.join('\n')}\n`;
}

/** Reports a failure on standard error: wrapped and coloured on a terminal, one line for each part elsewhere. */
export function reportError(failure: unknown, format: Omit<ErrorFormat, 'columns'>): void {
  const { stderr } = process;
  const text = formatError(failure, { ...format, columns: stderr.isTTY ? stderr.columns : undefined });
  stderr.write(text.replace(/^imgcopy:/, (name) => styleText('red', name, { stream: stderr })));
}

/** The lines of a message, none broken within a word; all but the first are indented further. The last column stays free. */
function wrap(line: string, columns: number): readonly string[] {
  const indent = `${/^ */.exec(line)?.[0] ?? ''}  `;
  const lines: string[] = [];
  let current = '';
  for (const [word] of line.matchAll(/ *[^ ]+/g)) {
    if (current !== '' && current.length + word.length >= columns) {
      lines.push(current);
      current = `${indent}${word.trimStart()}`;
    } else current += word;
  }
  return [...lines, current];
}

/** Commands with one registry have no options for a side. */
function withoutSides(hint: string): string {
  return hint.replaceAll(/--(?:src|dest)-/g, '--');
}

/** What commander found wrong with the arguments, in the same form. */
export function usageError(error: CommanderError, command: Command | undefined): ImgcopyError {
  const [first = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const message = REWORDED.reduce((text, [pattern, plainer]) => text.replace(pattern, plainer), first);
  const help = command === undefined ? 'imgcopy --help' : `imgcopy help ${command.name()}`;
  const [, meant] = /^\((Did you mean .*)\)$/.exec(suggestion ?? '') ?? [];
  const isMissing = error.code === 'commander.missingArgument';
  const hint = isMissing ? `write ${formOf(command)}; see ${help}` : `see ${help}`;
  return new ImgcopyError(message, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: meant === undefined ? hint : `${meant.replace('Did', 'did')} See ${help}`,
  });
}

function formOf(command: Command | undefined): string {
  if (command === undefined) return 'imgcopy SRC DST';
  const args = command.registeredArguments.map((argument) => argument.name().toUpperCase());
  return ['imgcopy', command.name(), ...args].join(' ');
}

/** What commander says, and how we say it. */
const REWORDED: readonly (readonly [RegExp, string])[] = [
  [/^missing required argument '(.*)'$/, 'missing argument $1'],
  [/^command-argument value '(.*)' is invalid for argument '(.*)'/, 'invalid $2 "$1"'],
  [/^option '.*' value '(.*)' from env '(.*)' is invalid/, 'invalid $2 "$1"'],
  [/^option '(?:-\w, )?(--\S+).*' argument '(.*)' is invalid/, 'invalid $1 "$2"'],
  [/^option '(?:-\w, )?(--\S+) (.*)' argument missing$/, '$1 has no value: expected $1 $2'],
  [/\. (?:Allowed choices are|Expected) /, ': expected '],
  [/(: expected (?:[\w-]+, )*[\w-]+), ([\w-]+)\.?$/, '$1 or $2'],
  [/\.$/, ''],
];

/**
 * A failure, and what led to it. Of several failures in one error the first counts, and the others follow: what failed while it was cleaned up after
 * it (SuppressedError), the other attempts (AggregateError).
 */
function causesOf(error: unknown): readonly unknown[] {
  const causes: unknown[] = [];
  const add = (cause: unknown): void => {
    if (cause === undefined || causes.includes(cause) || causes.length === MAX_CAUSES) return;
    const parts = partsOf(cause);
    if (parts.length === 0) causes.push(cause);
    for (const part of parts) add(part);
    if (cause instanceof Error) add(cause.cause);
  };
  add(error);
  return causes;
}

/** The failures that an error holds. It has no message of its own that says more. */
function partsOf(error: unknown): readonly unknown[] {
  if (!(error instanceof Error)) return [];
  // Where Node.js has no SuppressedError, the compiler makes one.
  if (error.name === 'SuppressedError' && 'suppressed' in error && 'error' in error)
    return [error.suppressed, error.error];
  return error instanceof AggregateError ? (error.errors as readonly unknown[]) : [];
}

/** Name and message in one line, and a line for each place: the message may be a server's, and must not look like one of them. */
function stackOf(error: unknown): readonly string[] {
  if (!(error instanceof Error)) return [];
  const { name, message, stack = '' } = error;
  const title = message === '' ? name : `${name}: ${message}`;
  const places = stack.startsWith(title) ? stack.slice(title.length).split('\n').slice(1) : [];
  return [title, ...places].map(printable);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
