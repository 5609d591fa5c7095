import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// Runs on the Node.js of the machine, 20 or newer, before anything is installed: built-in modules only.

/** The folder of the project. */
export const root = fileURLToPath(new URL('../', import.meta.url));

const dist = join(root, 'dist');
const inputs = ['src', 'scripts/bundle.js', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];

/** Whether `dist` is missing, or older than what it is built from. A deleted source counts: it changes its folder's time. */
export function distIsStale() {
  const builtAt = modifiedMs(dist);
  return inputs.some((input) => newestMs(join(root, input)) > builtAt);
}

/**
 * Compiles `src` to `dist/src`, the library, and bundles the command line into a few files `dist/*.cjs`. What was in `dist` is replaced as a whole, and only by a build without errors.
 *
 * @returns whether it succeeded; the compiler has printed its errors by then.
 */
export function build() {
  const startedAt = new Date();
  const fresh = join(root, `node_modules/.dist-${process.pid}`);
  mkdirSync(fresh);
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const isBuilt =
      run(tsc, '--project', join(root, 'tsconfig.build.json'), '--outDir', fresh) &&
      run(join(root, 'scripts/bundle.js'), fresh);
    if (!isBuilt) return false;
    // A source that is saved while the compiler runs must count as newer.
    utimesSync(fresh, startedAt, startedAt);
    rmSync(dist, { recursive: true, force: true });
    renameSync(fresh, dist);
    return true;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** @returns whether a program of Node.js ended well. */
function run(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  return status === 0;
}

/** The time a path was last modified, or 0 where it does not exist. */
export function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function newestMs(path) {
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  return Math.max(own.mtimeMs, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}
