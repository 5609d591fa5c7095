import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ImgcopyError, systemErrorCode } from '../errors/imgcopy-error.ts';
import { NO_CONFIGURATION, type RegistryConfiguration } from './configured-endpoint.ts';

export interface RegistriesConfEnvironment {
  /** CONTAINERS_REGISTRIES_CONF, CONTAINERS_REGISTRIES_CONF_OVERRIDE, XDG_CONFIG_HOME. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: there is none. */
  readonly homeDir: string | undefined;
  /** Told of files that cannot be read. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** The directories of the administrator and of the distribution, the administrator's first; replaced in tests. */
  readonly system?: readonly string[] | undefined;
  /** Default this process's. */
  readonly uid?: number | undefined;
}

const SYSTEM = ['/etc/containers', '/usr/share/containers'];
const NAME = 'registries.conf';

/**
 * Lines that can matter. Files without one are not parsed: distributions ship one with nothing but comments, and a drop-in with aliases for short
 * names, and the parser takes 10 ms to load and read these.
 */
const MATTERS =
  /^\s*(?:\[\[?\s*["']?registr(?:y|ies)\b|["']?registr(?:y|ies)["']?\s*(?:\.|=\s*[[{])|["']?credential-helpers\b)/im;

/**
 * Reads the registries.conf of this machine and its drop-ins. Where there are none, a few directories are looked into and no parser is loaded.
 * @throws RegistriesConfError
 */
export async function readRegistriesConf(environment: RegistriesConfEnvironment): Promise<RegistryConfiguration> {
  const files = filesOf(environment);
  if (files.length === 0) return NO_CONFIGURATION;
  const [{ parseRegistriesConf }, { mergeConfs }] = await Promise.all([
    import('./registries-conf.ts'),
    import('./registry-rules.ts'),
  ]);
  return mergeConfs(files.map(parseRegistriesConf));
}

interface ConfFile {
  readonly file: string;
  readonly text: string;
}

/**
 * The files in the order that they count, the last one most: CONTAINERS_REGISTRIES_CONF alone, or else the first main file of user, administrator
 * and distribution, and all drop-ins by their names; CONTAINERS_REGISTRIES_CONF_OVERRIDE at the end.
 * @see https://github.com/containers/container-libs/blob/main/storage/pkg/configfile/parse.go
 */
function filesOf(environment: RegistriesConfEnvironment): readonly ConfFile[] {
  const { CONTAINERS_REGISTRIES_CONF: named, CONTAINERS_REGISTRIES_CONF_OVERRIDE: override } = environment.env;
  const files = named ? [readNamed(named, 'CONTAINERS_REGISTRIES_CONF')] : usualFiles(environment);
  return override ? [...files, readNamed(override, 'CONTAINERS_REGISTRIES_CONF_OVERRIDE')] : files;
}

function usualFiles(environment: RegistriesConfEnvironment): readonly ConfFile[] {
  const { onWarning } = environment;
  const folders = foldersOf(environment).map((folder) => ({ ...folder, names: namesIn(folder.path, onWarning) }));
  const main = folders.find(({ names }) => names.includes(NAME));
  const paths = [...(main === undefined ? [] : [join(main.path, NAME)]), ...dropIns(folders, environment)];
  return paths.flatMap((path) => readUsual(path, onWarning));
}

interface Folder {
  readonly path: string;
  readonly isUsers: boolean;
}

/** Of user, administrator and distribution. */
function foldersOf({ env, homeDir, system = SYSTEM }: RegistriesConfEnvironment): readonly Folder[] {
  const config = env['XDG_CONFIG_HOME'] || (homeDir && join(homeDir, '.config'));
  return [
    ...(config ? [{ path: join(config, 'containers'), isUsers: true }] : []),
    ...system.map((path) => ({ path, isUsers: false })),
  ];
}

/** Of two with one name, that of the user counts, then that of the administrator. */
function dropIns(
  folders: readonly (Folder & { readonly names: readonly string[] })[],
  { onWarning, uid = process.getuid?.() ?? 0 }: RegistriesConfEnvironment,
): readonly string[] {
  const rootless = ['registries.rootless.conf.d', `registries.rootless.conf.d/${uid}`];
  const own = uid === 0 ? ['registries.rootful.conf.d'] : rootless;
  const found = new Map<string, string>();
  for (const folder of folders.toReversed()) {
    for (const name of [`${NAME}.d`, ...(folder.isUsers ? [] : own)]) {
      if (!folder.names.includes(name.split('/')[0] ?? '')) continue;
      const path = join(folder.path, name);
      for (const file of namesIn(path, onWarning)) if (file.endsWith('.conf')) found.set(file, join(path, file));
    }
  }
  return [...found].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, path]) => path);
}

function namesIn(directory: string, onWarning: RegistriesConfEnvironment['onWarning']): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    return unreadable(directory, error, onWarning);
  }
}

/** One that the user may not read must not fail copies that it has nothing to do with. */
function readUsual(file: string, onWarning: RegistriesConfEnvironment['onWarning']): readonly ConfFile[] {
  try {
    const text = readFileSync(file, 'utf8');
    return MATTERS.test(text) ? [{ file, text }] : [];
  } catch (error) {
    return unreadable(file, error, onWarning);
  }
}

function unreadable(path: string, error: unknown, onWarning: RegistriesConfEnvironment['onWarning']): readonly never[] {
  const code = systemErrorCode(error);
  if (code === undefined) throw error;
  if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR')
    onWarning?.(`${path} is ignored: it cannot be read (${code})`);
  return [];
}

function readNamed(file: string, variable: string): ConfFile {
  try {
    return { file, text: readFileSync(file, 'utf8') };
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new ImgcopyError(`${variable} names ${file}, which cannot be read (${systemErrorCode(error)})`, {
      code: 'ERR_REGISTRIES_CONF',
      kind: 'usage',
      hint: `correct or unset ${variable}, or use --no-registries-conf`,
      cause: error,
    });
  }
}
