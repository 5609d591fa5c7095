import { join } from 'node:path';

/** Where to look for auth files. */
export interface AuthEnvironment {
  /** The environment: REGISTRY_AUTH_FILE, DOCKER_AUTH_CONFIG, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, PATH. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: there is none. */
  readonly homeDir: string | undefined;
  /** The file that the user named: the only one then. Default REGISTRY_AUTH_FILE. */
  readonly authFile?: string | undefined;
  /** Default this machine's. */
  readonly platform?: NodeJS.Platform | undefined;
  /** Default this process's. */
  readonly uid?: number | undefined;
}

/** The auth file that the user chose, by option or variable; undefined when the usual ones count. */
export function explicitAuthFile(environment: AuthEnvironment): string | undefined {
  return environment.authFile || environment.env['REGISTRY_AUTH_FILE'] || undefined;
}

/**
 * The usual auth files in the order they are searched. Without a home directory, those that would be in it are left out.
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function usualAuthFiles(environment: AuthEnvironment): readonly string[] {
  const files = [runtimeAuthFile(environment), configAuthFile(environment), dockerConfigFile(environment)];
  return [...new Set(files.filter((file) => file !== undefined))];
}

/** The file of podman and skopeo that login writes by default; undefined where there is no place for it. */
export function writableAuthFile(environment: AuthEnvironment): string | undefined {
  const hasRuntimeDir = isLinux(environment) && Boolean(environment.env['XDG_RUNTIME_DIR']);
  return hasRuntimeDir ? runtimeAuthFile(environment) : configAuthFile(environment);
}

/** docker's config file. */
export function dockerConfigFile({ env, homeDir }: AuthEnvironment): string | undefined {
  return fileIn(env['DOCKER_CONFIG'] || fileIn(homeDir, '.docker'), 'config.json');
}

/** The file of docker before 1.7, which has entries alone. */
export function legacyDockerFile({ homeDir }: AuthEnvironment): string | undefined {
  return fileIn(homeDir, '.dockercfg');
}

function runtimeAuthFile(environment: AuthEnvironment): string | undefined {
  const { env, homeDir, uid = process.getuid?.() ?? 0 } = environment;
  if (!isLinux(environment)) return fileIn(homeDir, '.config/containers/auth.json');
  return join(
    env['XDG_RUNTIME_DIR'] || join('/run/containers', String(uid)),
    env['XDG_RUNTIME_DIR'] ? 'containers/auth.json' : 'auth.json',
  );
}

function configAuthFile({ env, homeDir }: AuthEnvironment): string | undefined {
  return fileIn(env['XDG_CONFIG_HOME'] || fileIn(homeDir, '.config'), 'containers/auth.json');
}

function fileIn(directory: string | undefined, path: string): string | undefined {
  return directory === undefined ? undefined : join(directory, path);
}

function isLinux({ platform = process.platform }: AuthEnvironment): boolean {
  return platform === 'linux';
}
