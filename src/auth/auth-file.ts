import { readFile } from 'node:fs/promises';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { type Credentials, splitUserPassword, TOKEN_USERNAME } from './credentials.ts';
import { authKeys, canonicalRegistry, dockerServerName, registryOfKey } from './registry-key.ts';

/** An entry of `auths`, as far as credentials go. An empty one says that a credential helper has them. */
export interface AuthFileEntry {
  /** Base64 of `user:password`. */
  readonly auth?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly identitytoken?: string | undefined;
  readonly registrytoken?: string | undefined;
}

/** A file of credentials as podman (auth.json) and docker (config.json) write it. */
export interface AuthFile {
  /** Its path, or the variable it came from: for messages. */
  readonly name: string;
  readonly auths: ReadonlyMap<string, AuthFileEntry>;
  /** Credential helpers by registry. */
  readonly credHelpers: ReadonlyMap<string, string>;
  /** The credential helper for all registries. */
  readonly credsStore: string | undefined;
  /** `~/.dockercfg`: nothing but entries, whose keys are hosts and URLs. */
  readonly isLegacy: boolean;
}

/** A credential helper, and the name that a registry has there. */
export interface NamedHelper {
  readonly helper: string;
  readonly server: string;
}

/** An auth file that cannot be read, or is not what it should be. The message holds nothing of the content, which is secret. */
export class AuthFileError extends ImgcopyError {
  constructor(name: string, problem: string, options: { cause?: unknown } = {}) {
    super(`auth file ${name}: ${problem}`, {
      code: 'ERR_AUTH_FILE',
      kind: 'usage',
      hint: 'fix the file, or choose another with --authfile',
      ...options,
    });
  }
}

/** @throws AuthFileError, with the system's error as its cause where the file cannot be read. */
export async function readAuthFile(path: string, options: { readonly isLegacy?: boolean } = {}): Promise<AuthFile> {
  return parseAuthFile(await readAuthText(path), { name: path, ...options });
}

/** @throws AuthFileError, with the system's error as its cause. */
export async function readAuthText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new AuthFileError(path, `cannot be read (${systemErrorCode(error) ?? 'unknown error'})`, { cause: error });
  }
}

/** @throws AuthFileError */
export function parseAuthFile(
  text: string,
  options: { readonly name: string; readonly isLegacy?: boolean | undefined },
): AuthFile {
  const { name, isLegacy = false } = options;
  const content = parseAuthJson(text, name);
  const auths = isLegacy ? content : objectField(content, 'auths', name);
  return {
    name,
    auths: new Map(Object.entries(auths).map(([key, entry]) => [key, parseEntry(entry)])),
    credHelpers: new Map(Object.entries(isLegacy ? {} : objectField(content, 'credHelpers', name)).filter(isTextField)),
    credsStore: isLegacy ? undefined : textField(content, 'credsStore'),
    isLegacy,
  };
}

/**
 * The content of an auth file as it is; an empty file is an empty object.
 * @throws AuthFileError
 */
export function parseAuthJson(text: string, name: string): Record<string, unknown> {
  if (text.trim() === '') return {};
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, and with it secrets.
    throw new AuthFileError(name, 'expected JSON, found something else');
  }
  if (!isObject(content)) throw new AuthFileError(name, 'expected a JSON object, found another value');
  return content;
}

/**
 * A field of an auth file that holds an object, or an empty object where there is none.
 * @throws AuthFileError
 */
export function objectField(content: Record<string, unknown>, field: string, name: string): Record<string, unknown> {
  const value = content[field] ?? {};
  if (!isObject(value)) throw new AuthFileError(name, `expected "${field}" to be an object, found another value`);
  return value;
}

/** The helper that a file names for one registry, and the name that the registry has there. */
export function credHelperFor(file: AuthFile, registry: string): NamedHelper | undefined {
  const key = file.credHelpers.has(registry)
    ? registry
    : [...file.credHelpers.keys()].find((other) => registryOfKey(other) === canonicalRegistry(registry));
  const helper = key === undefined ? undefined : file.credHelpers.get(key);
  return key === undefined || helper === undefined || helper === '' ? undefined : { helper, server: key };
}

/** The helper that a file names for all registries, and the name that docker gives this one there. */
export function credsStoreFor(file: AuthFile, registry: string): NamedHelper | undefined {
  return file.credsStore === undefined ? undefined : { helper: file.credsStore, server: dockerServerName(registry) };
}

/** The entry for an image and its key: the longest path first, then the registry under any of its names. */
export function matchingEntry(
  file: AuthFile,
  registry: string,
  repository: string | undefined,
): { key: string; entry: AuthFileEntry } | undefined {
  const name = canonicalRegistry(registry);
  const keys = [...file.auths.keys()];
  const key = (file.isLegacy ? [name] : authKeys(name, repository))
    .map((wanted) =>
      file.auths.has(wanted)
        ? wanted
        : keys.find((other) => registryOfKey(other, { ignorePath: file.isLegacy }) === wanted),
    )
    .find((found) => found !== undefined);
  const entry = key === undefined ? undefined : file.auths.get(key);
  return key === undefined || entry === undefined ? undefined : { key, entry };
}

/** What an entry holds; undefined where it holds no credentials, or an `auth` that is not `user:password`. */
export function entryCredentials(entry: AuthFileEntry): Credentials | undefined {
  if (entry.registrytoken) return { kind: 'registry-token', token: entry.registrytoken };
  const basic = entryUserPassword(entry);
  if (entry.identitytoken) {
    const username = basic?.username === TOKEN_USERNAME ? undefined : basic?.username || undefined;
    return { kind: 'identity-token', token: entry.identitytoken, username };
  }
  return basic;
}

function entryUserPassword(entry: AuthFileEntry): ReturnType<typeof splitUserPassword> {
  if (entry.auth) {
    const basic = splitUserPassword(Buffer.from(entry.auth, 'base64').toString());
    // docker pads passwords with NUL at times, and strips them when it reads.
    return basic && { ...basic, password: basic.password.replace(/^\0+|\0+$/g, '') };
  }
  if (entry.username === undefined || entry.username === '') return undefined;
  return { kind: 'basic', username: entry.username, password: entry.password ?? '' };
}

function parseEntry(entry: unknown): AuthFileEntry {
  if (!isObject(entry)) return {};
  return {
    auth: textField(entry, 'auth'),
    username: textField(entry, 'username'),
    password: textField(entry, 'password'),
    identitytoken: textField(entry, 'identitytoken'),
    registrytoken: textField(entry, 'registrytoken'),
  };
}

function isTextField(field: [string, unknown]): field is [string, string] {
  return typeof field[1] === 'string';
}

function textField(content: Record<string, unknown>, field: string): string | undefined {
  const value = content[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
