import type { Credentials } from './credentials.ts';

/** What a server asks of a client that wants to be let in. @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** Names in lower case, values without their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** A challenge that imgcopy can answer. */
export interface SupportedChallenge extends Challenge {
  readonly scheme: 'basic' | 'bearer';
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const SEPARATORS = /[\s,]*/y;
const SCHEME = new RegExp(`(${TOKEN})(?=[\\s,]|$)`, 'y');
const TOKEN68 = /\s+[\w.~+/-]+=*(?=\s*(?:,|$))/y;
// Unquoted URLs as values are no tokens, and come all the same.
const PARAMETER = new RegExp(`[\\s,]*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s",]+))`, 'ys');

/**
 * Reads the values of WWW-Authenticate: several challenges a line, several lines. What is malformed ends its line; the challenges before it
 * count.
 */
export function parseChallenges(header: string | readonly string[] | undefined): readonly Challenge[] {
  const lines = typeof header === 'string' ? [header] : (header ?? []);
  return lines.flatMap(parseLine);
}

/** Whether imgcopy can answer a challenge, given the credentials that it takes. */
export function isSupported(challenge: Challenge): challenge is SupportedChallenge {
  return challenge.scheme === 'basic' || challenge.scheme === 'bearer';
}

/**
 * The first challenge, in the order of the server, that can be answered with these credentials. Basic takes a user name and a password;
 * a token server also serves clients that have none.
 */
export function selectChallenge(
  challenges: readonly SupportedChallenge[],
  credentials: Credentials | undefined,
): SupportedChallenge | undefined {
  return challenges.find(({ scheme }) => scheme === 'bearer' || credentials?.kind === 'basic');
}

function parseLine(line: string): readonly Challenge[] {
  const challenges: Challenge[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(line);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };
  for (;;) {
    take(SEPARATORS);
    const scheme = take(SCHEME)?.[1];
    if (scheme === undefined) return challenges;
    const parameters = new Map<string, string>();
    if (take(TOKEN68) === null) {
      for (let found = take(PARAMETER); found !== null; found = take(PARAMETER)) {
        const [, name = '', quoted, plain = ''] = found;
        parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/gs, '$1') ?? plain);
      }
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
}
