import { join } from 'node:path';

/** Where to look for auth files. */
export interface AuthEnvironment {
  /** The environment: REGISTRY_AUTH_FILE, DOCKER_AUTH_CONFIG, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, PATH. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
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
 * The usual auth files in the order they are searched.
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function usualAuthFiles(environment: AuthEnvironment): readonly string[] {
  return [...new Set([runtimeAuthFile(environment), configAuthFile(environment), dockerConfigFile(environment)])];
}

/** The file of podman and skopeo that login writes by default. */
export function writableAuthFile(environment: AuthEnvironment): string {
  const hasRuntimeDir = isLinux(environment) && Boolean(environment.env['XDG_RUNTIME_DIR']);
  return hasRuntimeDir ? runtimeAuthFile(environment) : configAuthFile(environment);
}

/** docker's config file. */
export function dockerConfigFile({ env, homeDir }: AuthEnvironment): string {
  return join(env['DOCKER_CONFIG'] || join(homeDir, '.docker'), 'config.json');
}

/** The file of docker before 1.7, which has entries alone. */
export function legacyDockerFile({ homeDir }: AuthEnvironment): string {
  return join(homeDir, '.dockercfg');
}

function runtimeAuthFile(environment: AuthEnvironment): string {
  const { env, homeDir, uid = process.getuid?.() ?? 0 } = environment;
  if (!isLinux(environment)) return join(homeDir, '.config', 'containers', 'auth.json');
  return join(
    env['XDG_RUNTIME_DIR'] || join('/run/containers', String(uid)),
    env['XDG_RUNTIME_DIR'] ? 'containers/auth.json' : 'auth.json',
  );
}

function configAuthFile({ env, homeDir }: AuthEnvironment): string {
  return join(env['XDG_CONFIG_HOME'] || join(homeDir, '.config'), 'containers', 'auth.json');
}

function isLinux({ platform = process.platform }: AuthEnvironment): boolean {
  return platform === 'linux';
}
