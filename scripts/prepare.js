import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { build, distIsStale, modifiedMs, root } from './dist.js';

// Makes a fresh clone, or one that has moved on, ready for `npm test` and `npm run demo`: installs what package-lock.json
// says and builds dist. Where both are up to date, it does nothing and says nothing.

process.exitCode = prepare() ? 0 : 1;

function prepare() {
  if (modulesAreStale()) {
    say('installing the packages of package-lock.json (npm ci)');
    if (!install()) return false;
  }
  if (distIsStale()) {
    say('building dist from src (tsc)');
    return build();
  }
  return true;
}

function modulesAreStale() {
  // npm writes this file last, so an install that was cut short counts as none.
  const installedAt = modifiedMs(join(root, 'node_modules/.package-lock.json'));
  return installedAt < modifiedMs(join(root, 'package-lock.json'));
}

function install() {
  // npm must run on the Node.js of the machine: `npm ci` deletes the one in node_modules before it installs it again.
  const modules = join(root, 'node_modules');
  const PATH = process.env.PATH.split(delimiter).filter((folder) => !folder.startsWith(modules));
  const env = { ...process.env, PATH: PATH.join(delimiter) };
  // Errors alone: that this Node.js is too old for some packages does not matter, for the one that they bring runs the rest.
  const { status, error } = spawnSync('npm', ['ci', '--loglevel=error'], { cwd: root, env, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  return status === 0;
}

function say(text) {
  process.stderr.write(`prepare: ${text}\n`);
}
