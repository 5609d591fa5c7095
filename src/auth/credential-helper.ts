import { execFile } from 'node:child_process';
import { ImgcopyError, isAbort, systemErrorCode } from '../errors/imgcopy-error.ts';
import {
  type BasicCredentials,
  type Credentials,
  type IdentityTokenCredentials,
  TOKEN_USERNAME,
} from './credentials.ts';

const MAX_OUTPUT_BYTES = 1024 * 1024;
const MAX_MESSAGE_LENGTH = 160;

export interface CredentialHelperOptions {
  /** The helper's environment; its PATH is where the helper is looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How long the helper may take. Default 10000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A credential helper that is not installed, fails, takes too long or answers nonsense. */
export class CredentialHelperError extends ImgcopyError {
  constructor(program: string, problem: string) {
    super(`credential helper ${program}: ${problem}`, {
      code: 'ERR_CREDENTIAL_HELPER',
      hint: `see whether ${program} is installed and works by itself`,
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
function runHelper(
  helper: string,
  action: 'get' | 'store' | 'erase',
  input: string,
  options: CredentialHelperOptions,
): Promise<string | undefined> {
  const program = helperProgram(helper);
  if (/[/\\]/.test(helper)) throw new CredentialHelperError(program, 'expected a name, found a path');
  const { env, timeoutMs = 10_000, signal } = options;
  const limits = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: MAX_OUTPUT_BYTES } as const;
  return new Promise((resolve, reject) => {
    const child = execFile(program, [action], { env, signal, windowsHide: true, ...limits }, (error, stdout) => {
      if (error === null) return resolve(stdout);
      if (/credentials not found/i.test(stdout)) return resolve(undefined);
      reject(isAbort(error) ? (signal?.reason as Error) : new CredentialHelperError(program, failure(error, stdout)));
    });
    // A helper that ends before it has read its input is judged by its exit status.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });

  // The error of execFile carries the whole output, which may hold the secret: it is neither quoted nor kept as the cause.
  function failure(error: Error & { killed?: boolean }, stdout: string): string {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return 'is not installed';
    if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `printed more than ${MAX_OUTPUT_BYTES} bytes`;
    if (code !== undefined) return `cannot be run (${code})`;
    if (error.killed === true) return `gave no answer within ${timeoutMs} ms`;
    return `${action} failed${helperMessage(stdout)}`;
  }
}

/** By the protocol a helper that fails prints the reason on its stdout. */
function helperMessage(stdout: string): string {
  const line = stdout.trim().split('\n')[0] ?? '';
  if (line === '' || line.includes('{')) return '';
  return `: ${line.replace(/\p{Cc}/gu, '').slice(0, MAX_MESSAGE_LENGTH)}`;
}

function parseAnswer(helper: string, answer: string): { Username: string; Secret: string } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer);
  } catch {
    // The parser's own message quotes the text, and with it secrets.
    parsed = undefined;
  }
  const { Username, Secret } = (parsed ?? {}) as Record<string, unknown>;
  if (typeof Username !== 'string' || typeof Secret !== 'string') {
    throw new CredentialHelperError(
      helperProgram(helper),
      'expected Username and Secret in JSON, found something else',
    );
  }
  return { Username, Secret };
}
