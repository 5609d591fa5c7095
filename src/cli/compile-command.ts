import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ImgcopyError, printable } from '../index.ts';
import { formatBytes } from './format.ts';
import { serveSampleImage } from './sample-image.ts';

/** Of the user's variables, what Node.js itself needs, and what changes V8's flags. */
const VARIABLES = ['PATH', 'NODE_OPTIONS', 'LD_LIBRARY_PATH', 'SystemRoot'];

/**
 * imgcopy cache compile: keeps the code that a copy needs, compiled, in the folder of the installed program, for all its users. To know what a copy
 * needs, a second process copies an image between names of this one, which answers on loopback.
 *
 * @param installed  the folder of the installed program. Undefined where it runs from its sources.
 */
export async function runCompile(installed: string | undefined, signal: AbortSignal): Promise<void> {
  if (installed === undefined)
    throw new ImgcopyError('this imgcopy runs from its sources, and keeps no compiled code', {
      code: 'ERR_NOT_COMPILED',
      kind: 'usage',
      hint: 'run the installed command',
    });
  const folder = join(installed, 'compiled');
  // Here, so that nothing outside the program's folder is written, and what is ready can be renamed.
  const work = await openWork(folder);
  let bytes: number;
  try {
    await copyInOtherProcess(installed, work, signal);
    bytes = await replaceCode(folder, join(work, 'code'));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  process.stderr.write(`kept compiled code in ${printable(folder)} (${formatBytes(bytes)})\n`);
}

async function openWork(folder: string): Promise<string> {
  try {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
    const work = await mkdtemp(join(folder, 'new-'));
    await mkdir(join(work, 'code'));
    return work;
  } catch (error) {
    throw new ImgcopyError(`cannot write to ${printable(folder)}`, {
      code: 'ERR_NOT_WRITABLE',
      hint: 'run this as the user who installed imgcopy, such as root',
      cause: error,
    });
  }
}

async function copyInOtherProcess(installed: string, work: string, signal: AbortSignal): Promise<void> {
  await using image = await serveSampleImage();
  const script = join(installed, 'bin/compile.js');
  const variables = Object.fromEntries(VARIABLES.map((name) => [name, process.env[name]]));
  const args = [script, join(work, 'code'), image.source, image.same, image.missing];
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    env: { ...variables, HOME: work },
    stdio: ['ignore', 'ignore', 'pipe'],
    signal,
  });
  const [errors, [status, killedBy]] = await Promise.all([
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ]);
  if (status === 0) return;
  throw new ImgcopyError(`the copy that shows what code is needed ended with ${status ?? killedBy}`, {
    code: 'ERR_NOT_COMPILED',
    hint: 'imgcopy works without this, and starts more slowly. If it fails again, please report it',
    cause: new Error(errors.trim()),
  });
}

/**
 * Puts the new files in place of those of other builds, for all users to read. What other versions of Node.js compiled of this build stays.
 * @returns the bytes of the new files.
 */
async function replaceCode(folder: string, fresh: string): Promise<number> {
  const names = await readdir(fresh);
  let bytes = 0;
  for (const name of names) {
    const path = join(fresh, name);
    bytes += (await stat(path)).size;
    await chmod(path, 0o644);
    await rename(path, join(folder, name));
  }
  const builds = new Set(names.map(buildOf));
  const old = (await readdir(folder)).filter((name) => !builds.has(buildOf(name)) && !name.startsWith('new-'));
  // Another process may do the same.
  for (const name of old) await rm(join(folder, name), { force: true });
  return bytes;
}

function buildOf(name: string): string | undefined {
  return name.split('-')[1];
}
