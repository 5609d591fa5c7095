import { ImgcopyError, isAbort, systemErrorCode } from '../errors/imgcopy-error.ts';
import { printable } from '../errors/printable.ts';
import {
  type BasicCredentials,
  type Credentials,
  type IdentityTokenCredentials,
  TOKEN_USERNAME,
} from './credentials.ts';

const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_MESSAGE_LENGTH = 160;
/** How long a helper may take by default: some open a browser, and wait for somebody to log in. */
export const HELPER_TIMEOUT_MS = 120_000;

export interface CredentialHelperOptions {
  /** The helper's environment; its PATH is where the helper is looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How long the helper may take. Default `HELPER_TIMEOUT_MS`. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A credential helper that is not installed, fails, takes too long or answers nonsense. */
export class CredentialHelperError extends ImgcopyError {
  constructor(program: string, problem: string) {
    super(`credential helper ${program}: ${problem}`, {
      code: 'ERR_CREDENTIAL_HELPER',
      hint: `check that ${program} is installed and runs on its own`,
    });
  }
}

/** The program that a helper's name in an auth file stands for. */
export function helperProgram(helper: string): string {
  return `docker-credential-${helper}`;
}

/**
 * Asks a helper for the credentials it has for a server; undefined when it has none.
 * @throws CredentialHelperError
 * @see https://github.com/docker/docker-credential-helpers#development
 */
export async function getFromHelper(
  helper: string,
  server: string,
  options: CredentialHelperOptions,
): Promise<Credentials | undefined> {
  const answer = await runHelper(helper, 'get', server, options);
  if (answer === undefined) return undefined;
  const { Username, Secret } = parseAnswer(helper, answer);
  if (Username === TOKEN_USERNAME) return { kind: 'identity-token', token: Secret };
  return Username === '' && Secret === '' ? undefined : { kind: 'basic', username: Username, password: Secret };
}

/** @throws CredentialHelperError */
export async function storeInHelper(
  helper: string,
  server: string,
  credentials: BasicCredentials | IdentityTokenCredentials,
  options: CredentialHelperOptions,
): Promise<void> {
  const [username, secret] =
    credentials.kind === 'basic' ? [credentials.username, credentials.password] : [TOKEN_USERNAME, credentials.token];
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: secret });
  await runHelper(helper, 'store', input, options);
}

/** Credentials that are not there count as erased. @throws CredentialHelperError */
export async function eraseFromHelper(helper: string, server: string, options: CredentialHelperOptions): Promise<void> {
  await runHelper(helper, 'erase', server, options);
}

/** What the helper printed; undefined when it says that it has no such credentials. */
async function runHelper(
  helper: string,
  action: 'get' | 'store' | 'erase',
  input: string,
  options: CredentialHelperOptions,
): Promise<string | undefined> {
  const program = helperProgram(helper);
  if (/[/\\]/.test(helper)) throw new CredentialHelperError(program, 'expected a name, found a path');
  const { env, timeoutMs = HELPER_TIMEOUT_MS, signal } = options;
  // Credentials are looked for in many runs in which no helper is asked.
  const { execFile } = await import('node:child_process');
  const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(program, [action], { env, signal, windowsHide: true, ...limits }, (error, ...output) => {
      if (error === null) return resolve(output[0]);
      if (/credentials not found/i.test(output.join('\n'))) return resolve(undefined);
      reject(isAbort(error) ? (signal?.reason as Error) : new CredentialHelperError(program, failure(error, output)));
    });
    // A helper that ends before it has read its input is judged by its exit status.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });

  // The error of execFile carries the whole output, which may hold the secret: it is neither quoted nor kept as the cause.
  function failure(error: Error & { killed?: boolean }, output: readonly string[]): string {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return 'is not installed';
    if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `printed more than ${MAX_OUTPUT_BYTES} bytes`;
    if (code !== undefined) return `cannot be run (${code})`;
    if (error.killed === true) return `gave no answer within ${timeoutMs} ms`;
    const reasons = output.map(reasonIn).filter((reason) => reason !== '');
    return [`${action} failed`, ...new Set(reasons)].join(': ');
  }
}

/** By the protocol a helper that fails prints the reason on its standard output; many use standard error. JSON may hold the secret. */
function reasonIn(output: string): string {
  const lines = output.split('\n').map((line) => printable(line).trim());
  const reason = lines.find((line) => line !== '') ?? '';
  return reason.includes('{') ? '' : reason.slice(0, MAX_MESSAGE_LENGTH);
}

/** Read as Go does, which docker is written in: names in any case, and nothing after the first object counts. */
function parseAnswer(helper: string, answer: string): { Username: string; Secret: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(firstObject(answer));
  } catch {
    // The parser's own message quotes the text, and with it secrets.
    parsed = undefined;
  }
  const fields = new Map(Object.entries(parsed ?? {}).map(([name, value]) => [name.toLowerCase(), value as unknown]));
  const [username, secret] = [fields.get('username'), fields.get('secret')];
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new CredentialHelperError(
      helperProgram(helper),
      'expected Username and Secret in JSON, found something else',
    );
  }
  return { Username: username, Secret: secret };
}

function firstObject(text: string): string {
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (isQuoted && character === '\\') at += 1;
    else if (character === '"') isQuoted = !isQuoted;
    else if (!isQuoted && character === '{') depth += 1;
    else if (!isQuoted && character === '}') depth -= 1;
    if (character === '}' && depth === 0) return text.slice(0, at + 1);
  }
  return text;
}
