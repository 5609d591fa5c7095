import { isAbsolute, join } from 'node:path';

/** Where a user's files are looked for. */
export interface UserDirectories {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: there is none. */
  readonly homeDir: string | undefined;
}

/**
 * The path of a file of imgcopy's, under the directory that a variable names, or else under one in the home directory; undefined where there is
 * neither.
 *
 * @see https://specifications.freedesktop.org/basedir-spec/latest/ (a relative value is invalid and to be ignored)
 */
export function userFile(
  variable: 'XDG_CACHE_HOME' | 'XDG_STATE_HOME',
  { env, homeDir }: UserDirectories,
  fallback: string,
  name: string,
): string | undefined {
  const directory = env[variable];
  if (directory !== undefined && isAbsolute(directory)) return join(directory, 'imgcopy', name);
  return homeDir === undefined ? undefined : join(homeDir, fallback, 'imgcopy', name);
}
