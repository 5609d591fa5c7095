import { randomUUID } from 'node:crypto';
import { realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { systemErrorCode } from '../errors/imgcopy-error.ts';
import { makeDirectory } from '../io/make-directory.ts';
import { type AuthFileEntry, AuthFileError, objectField, parseAuthJson, readAuthText } from './auth-file.ts';
import { canonicalRegistry, dockerServerName, registryOfKey } from './registry-key.ts';

/**
 * Puts an entry for a registry in the place of all that a file has for it, or just removes those. Entries for namespaces and everything else
 * in the file stay. The file is replaced as a whole, readable by its owner alone.
 *
 * @returns whether there was an entry.
 * @throws AuthFileError when the file is no auth file, or cannot be read or written.
 */
export async function replaceEntry(path: string, registry: string, entry?: AuthFileEntry): Promise<boolean> {
  const content = parseAuthJson(await textOf(path), path);
  const auths = Object.entries(objectField(content, 'auths', path));
  const others = auths.filter(([key]) => registryOfKey(key) !== canonicalRegistry(registry));
  const wasThere = others.length < auths.length;
  if (!wasThere && entry === undefined) return false;
  const own: readonly [string, unknown][] = entry === undefined ? [] : [[keyFor(path, registry), entry]];
  const edited = { ...content, auths: Object.fromEntries([...others, ...own]) };
  await writeAtomically(path, `${JSON.stringify(edited, undefined, '\t')}\n`);
  return wasThere;
}

async function textOf(path: string): Promise<string> {
  try {
    return await readAuthText(path);
  } catch (error) {
    if (error instanceof AuthFileError && systemErrorCode(error.cause) === 'ENOENT') return '';
    throw error;
  }
}

/** Each of docker and podman looks for Docker Hub under a key of its own. */
function keyFor(path: string, registry: string): string {
  return basename(path) === 'config.json' ? dockerServerName(registry) : canonicalRegistry(registry);
}

async function writeAtomically(path: string, text: string): Promise<void> {
  try {
    await makeDirectory(dirname(resolve(path)), 0o700);
    // A link stays a link: what it points to is replaced.
    const target = await realpath(path).catch(() => path);
    const temporary = `${target}.${randomUUID()}`;
    try {
      await writeFile(temporary, text, { flag: 'wx', mode: 0o600, flush: true });
      await rename(temporary, target);
    } finally {
      await rm(temporary, { force: true });
    }
  } catch (error) {
    throw new AuthFileError(path, `cannot be written (${systemErrorCode(error) ?? 'unknown error'})`, { cause: error });
  }
}
