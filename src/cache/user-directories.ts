import { isAbsolute, join } from 'node:path';

/** Where a user's files are looked for. */
export interface UserDirectories {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
}

/**
 * The path of a file of imgcopy's, under the directory that a variable names, or else under one in the home directory.
 *
 * @see https://specifications.freedesktop.org/basedir-spec/latest/ (a relative value is invalid and to be ignored)
 */
export function userFile(
  variable: 'XDG_CACHE_HOME' | 'XDG_STATE_HOME',
  { env, homeDir }: UserDirectories,
  fallback: string,
  name: string,
): string {
  const directory = env[variable];
  const base = directory !== undefined && isAbsolute(directory) ? directory : join(homeDir, fallback);
  return join(base, 'imgcopy', name);
}
