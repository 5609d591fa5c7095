import { homedir } from 'node:os';
import { isAbsolute } from 'node:path';

/**
 * The user's home directory; undefined where there is none: HOME is empty or relative, or it is not set and the user is in no list of users, as
 * with the arbitrary user ids of OpenShift.
 */
export function homeDirectory(): string | undefined {
  try {
    const directory = homedir();
    return isAbsolute(directory) ? directory : undefined;
  } catch {
    return undefined;
  }
}
