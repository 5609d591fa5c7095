import { systemErrorCode } from '../errors/imgcopy-error.ts';
import { type AuthEnvironment, explicitAuthFile, legacyDockerFile, usualAuthFiles } from './auth-file-paths.ts';
import {
  type AuthFile,
  type AuthFileEntry,
  AuthFileError,
  credHelperFor,
  credsStoreFor,
  entryCredentials,
  matchingEntry,
  type NamedHelper,
  parseAuthFile,
  readAuthFile,
} from './auth-file.ts';
import { CredentialHelperError, getFromHelper, helperProgram } from './credential-helper.ts';
import type { CredentialSearch } from './credential-search.ts';
import type { Credentials } from './credentials.ts';
import { canonicalRegistry } from './registry-key.ts';

/** What registries.conf calls the auth files, in its list of credential helpers. */
const AUTH_FILES = 'containers-auth.json';

export interface FindCredentialsOptions extends AuthEnvironment {
  /** `host[:port]`; any of the names of Docker Hub will do. */
  readonly registry: string;
  /** Entries for a namespace or a repository go before the registry's. */
  readonly repository?: string | undefined;
  /** Who is asked for credentials, in this order; AUTH_FILES stands for the auth files. Default: these alone. */
  readonly helpers?: readonly string[] | undefined;
  /** Told of each problem, when credentials that a file points to cannot be read, and the search continues without them. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** How long a credential helper may take. Default `HELPER_TIMEOUT_MS`. */
  readonly helperTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Looks up credentials where podman, skopeo and docker keep them. The auth file that the user names (or REGISTRY_AUTH_FILE) is the only
 * one searched; else it is DOCKER_AUTH_CONFIG (the JSON itself), the auth.json of the runtime and of the config directory, docker's
 * config.json and `.dockercfg`. In each: the registry's own credential helper, the entry with the longest matching path, the file's
 * credential store. The first credentials found end the search. A helper that fails is a warning, since the image may be public. Helpers
 * for all registries, which registries.conf may name, are asked in their place before or after the files.
 *
 * @throws AuthFileError when the file that the user names cannot be read, or any of the files is no auth file.
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export async function findCredentials(options: FindCredentialsOptions): Promise<CredentialSearch> {
  const searched: string[] = [];
  const problems: string[] = [];
  const onWarning = (problem: string): void => {
    problems.push(problem);
    options.onWarning?.(problem);
  };
  for (const helper of options.helpers ?? [AUTH_FILES]) {
    if (helper !== AUTH_FILES) {
      const found = await askGlobalHelper(helper, { ...options, onWarning });
      if (found !== undefined) return { ...found, searched, problems };
      searched.push(`${helperProgram(helper)} (named in registries.conf)`);
      continue;
    }
    for await (const file of authFiles({ ...options, onWarning })) {
      const found = await findInFile(file, { ...options, onWarning });
      if (found !== undefined) return { ...found, searched, problems };
      searched.push(file.name);
    }
  }
  return { searched, problems };
}

/** Whether there are credentials in files for a registry. No helper is started to find out, and a broken file is no matter yet. */
export async function areCredentialsAtHand(options: FindCredentialsOptions): Promise<boolean> {
  const { onWarning: _, ...quiet } = options;
  if (options.helpers?.includes(AUTH_FILES) === false) return false;
  try {
    for await (const file of authFiles(quiet)) if (findEntry(file, quiet)?.credentials !== undefined) return true;
  } catch (error) {
    if (!(error instanceof AuthFileError)) throw error;
  }
  return false;
}

/** A helper that registries.conf names for all registries: one that knows nothing of this one is no news. */
async function askGlobalHelper(helper: string, options: FindCredentialsOptions): Promise<FoundCredentials | undefined> {
  const name = 'registries.conf';
  const named = { helper, server: canonicalRegistry(options.registry) };
  return await askHelper(named, { file: { name }, isExpected: false }, options);
}

async function* authFiles(options: FindCredentialsOptions): AsyncGenerator<AuthFile> {
  const explicit = explicitAuthFile(options);
  if (explicit !== undefined) {
    yield await readAuthFile(explicit);
    return;
  }
  const inline = options.env['DOCKER_AUTH_CONFIG'];
  if (inline) yield parseAuthFile(inline, { name: 'DOCKER_AUTH_CONFIG' });
  for (const path of usualAuthFiles(options)) yield* usualAuthFile(path, options);
  const legacy = legacyDockerFile(options);
  if (legacy !== undefined) yield* usualAuthFile(legacy, { ...options, isLegacy: true });
}

/**
 * A file that need not exist, and need not be ours: one that root left behind does not fail the pull of a public image, nor does the
 * directory that docker makes of a config.json which it was told to mount and did not find.
 */
async function* usualAuthFile(
  path: string,
  options: FindCredentialsOptions & { readonly isLegacy?: boolean },
): AsyncGenerator<AuthFile> {
  try {
    yield await readAuthFile(path, { isLegacy: options.isLegacy ?? false });
  } catch (error) {
    const code = error instanceof AuthFileError ? systemErrorCode(error.cause) : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EISDIR') throw error;
    const problem = code === 'EISDIR' ? 'it is a directory' : `it cannot be read (${code})`;
    options.onWarning?.(`auth file ${path} is ignored: ${problem}`);
  }
}

type FoundCredentials = Pick<CredentialSearch, 'credentials' | 'from'>;

async function findInFile(file: AuthFile, options: FindCredentialsOptions): Promise<FoundCredentials | undefined> {
  const registry = canonicalRegistry(options.registry);
  const own = credHelperFor(file, registry);
  if (own !== undefined) return askHelper(own, { file, isExpected: true }, options);

  const match = findEntry(file, options);
  if (match?.credentials !== undefined) return { credentials: match.credentials, from: file.name };
  if (match?.entry.auth !== undefined) {
    options.onWarning?.(
      `auth file ${file.name}: the entry ${match.key} is ignored: its "auth" is not user:password in base64`,
    );
  }

  const store = credsStoreFor(file, registry);
  return store && askHelper(store, { file, isExpected: match !== undefined }, options);
}

function findEntry(
  file: AuthFile,
  { registry, repository }: FindCredentialsOptions,
): { readonly key: string; readonly entry: AuthFileEntry; readonly credentials: Credentials | undefined } | undefined {
  const match = matchingEntry(file, registry, repository);
  return match && { ...match, credentials: entryCredentials(match.entry) };
}

async function askHelper(
  { helper, server }: NamedHelper,
  { file, isExpected }: { readonly file: Pick<AuthFile, 'name'>; readonly isExpected: boolean },
  options: FindCredentialsOptions,
): Promise<FoundCredentials | undefined> {
  const { env, signal, helperTimeoutMs: timeoutMs, onWarning } = options;
  try {
    const credentials = await getFromHelper(helper, server, { env, signal, timeoutMs });
    if (credentials !== undefined) return { credentials, from: `${helperProgram(helper)} (named in ${file.name})` };
    // A store that knows nothing of a registry nobody logged in to is no news.
    if (isExpected) onWarning?.(`${helperProgram(helper)}, named in ${file.name}, has no credentials for ${server}`);
  } catch (error) {
    if (!(error instanceof CredentialHelperError)) throw error;
    onWarning?.(`${error.message} (named in ${file.name} for ${server})`);
  }
  return undefined;
}
