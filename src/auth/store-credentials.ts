import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import {
  type AuthEnvironment,
  dockerConfigFile,
  explicitAuthFile,
  usualAuthFiles,
  writableAuthFile,
} from './auth-file-paths.ts';
import {
  type AuthFile,
  type AuthFileEntry,
  AuthFileError,
  credHelperFor,
  credsStoreFor,
  type NamedHelper,
  parseAuthFile,
  readAuthFile,
} from './auth-file.ts';
import {
  CredentialHelperError,
  eraseFromHelper,
  getFromHelper,
  helperProgram,
  storeInHelper,
} from './credential-helper.ts';
import {
  type BasicCredentials,
  encodeUserPassword,
  type IdentityTokenCredentials,
  TOKEN_USERNAME,
} from './credentials.ts';
import { replaceEntry } from './edit-auth-file.ts';
import { canonicalRegistry } from './registry-key.ts';

export interface LogoutOptions extends AuthEnvironment {
  /** `host[:port]`; any of the names of Docker Hub will do. */
  readonly registry: string;
  /** Told of what could not be searched. */
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LoginOptions extends LogoutOptions {
  readonly credentials: BasicCredentials | IdentityTokenCredentials;
}

/**
 * Stores credentials where imgcopy, podman and skopeo find them first: in the auth file that the user names (or REGISTRY_AUTH_FILE), else with
 * the credential helper of docker's config file where it has one, else in podman's auth.json. A credential helper that the file itself names
 * for the registry is used instead of the file.
 *
 * @returns the file or the helper, for messages.
 * @throws AuthFileError, CredentialHelperError
 */
export async function storeCredentials(options: LoginOptions): Promise<string> {
  const { registry, credentials } = options;
  const place = await storagePlace(options);
  if (place.helper === undefined) {
    await replaceEntry(place.path, registry, entryOf(credentials));
  } else {
    await storeInHelper(place.helper.helper, place.helper.server, credentials, options);
    await forget(place.path, options);
  }
  // An older entry in a file that is searched earlier would win.
  const files = explicitAuthFile(options) === undefined ? usualAuthFiles(options) : [];
  for (const path of files.slice(0, Math.max(0, files.indexOf(place.path)))) await forget(path, options);
  return place.helper === undefined ? place.path : helperProgram(place.helper.helper);
}

/**
 * Removes a registry's credentials from the auth file that the user names (or REGISTRY_AUTH_FILE), else from all the usual files of podman and
 * docker, and from the credential helpers that these name.
 *
 * @returns the files and helpers that had any, for messages; none when nobody was logged in.
 * @throws AuthFileError
 */
export async function removeCredentials(options: LogoutOptions): Promise<readonly string[]> {
  const explicit = explicitAuthFile(options);
  const removed: string[] = [];
  for (const path of explicit === undefined ? usualAuthFiles(options) : [explicit]) {
    const file = await fileOrEmpty(path);
    const helper = helperFor(file, options.registry);
    if (helper !== undefined && (await eraseIfThere(helper, options))) removed.push(helperProgram(helper.helper));
    if (await forget(path, options)) removed.push(path);
  }
  return removed;
}

interface StoragePlace {
  /** The file that holds the entry, or names the helper. */
  readonly path: string;
  readonly helper: NamedHelper | undefined;
}

async function storagePlace(options: LoginOptions): Promise<StoragePlace> {
  const explicit = explicitAuthFile(options);
  const path = explicit ?? writableAuthFile(options);
  const own = await helperNamedIn(path, options.registry);
  if (path !== undefined && (own !== undefined || explicit !== undefined)) return { path, helper: own };
  const docker = dockerConfigFile(options);
  const helper = await helperNamedIn(docker, options.registry);
  if (docker !== undefined && helper !== undefined) return { path: docker, helper };
  if (path !== undefined) return { path, helper: undefined };
  throw new ImgcopyError('there is no place for credentials: the user has no home directory', {
    code: 'ERR_NO_HOME',
    kind: 'usage',
    hint: 'name a file with --authfile or REGISTRY_AUTH_FILE',
  });
}

async function helperNamedIn(path: string | undefined, registry: string): Promise<NamedHelper | undefined> {
  return path === undefined ? undefined : helperFor(await fileOrEmpty(path), registry);
}

function helperFor(file: AuthFile, registry: string): NamedHelper | undefined {
  return credHelperFor(file, canonicalRegistry(registry)) ?? credsStoreFor(file, registry);
}

/** A file that is not there, or belongs to somebody else, is empty. */
async function fileOrEmpty(path: string): Promise<AuthFile> {
  try {
    return await readAuthFile(path);
  } catch (error) {
    if (reachFailure(error) === undefined) throw error;
    return parseAuthFile('', { name: path });
  }
}

async function forget(path: string, { registry, onWarning }: LogoutOptions): Promise<boolean> {
  try {
    return await replaceEntry(path, registry);
  } catch (error) {
    const code = reachFailure(error);
    if (code === undefined) throw error;
    if (code !== 'ENOTDIR') onWarning?.((error as AuthFileError).message);
    return false;
  }
}

function reachFailure(error: unknown): string | undefined {
  const code = error instanceof AuthFileError ? systemErrorCode(error.cause) : undefined;
  return code !== undefined && ['ENOENT', 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM'].includes(code) ? code : undefined;
}

async function eraseIfThere({ helper, server }: NamedHelper, options: LogoutOptions): Promise<boolean> {
  try {
    if ((await getFromHelper(helper, server, options)) === undefined) return false;
    await eraseFromHelper(helper, server, options);
    return true;
  } catch (error) {
    if (!(error instanceof CredentialHelperError)) throw error;
    options.onWarning?.(error.message);
    return false;
  }
}

function entryOf(credentials: BasicCredentials | IdentityTokenCredentials): AuthFileEntry {
  if (credentials.kind === 'basic') return { auth: encodeUserPassword(credentials.username, credentials.password) };
  const { token, username = TOKEN_USERNAME } = credentials;
  return { auth: encodeUserPassword(username, ''), identitytoken: token };
}
