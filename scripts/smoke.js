import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage } from '../test/support/images.ts';
import { startRealRegistry } from '../test/support/real-registries.ts';
import { realTool } from '../test/support/real-tools.ts';
import { startRegistry } from '../test/support/registry.ts';

// Usage: smoke.js [NODE...] (this program itself needs Node.js 24; default: the Node.js that runs npm)
//
// On each of these versions of Node.js, the built command copies an image from a directory to a registry and back. What came
// back must be the same. The registry is docker-registry where that is installed, else the one of the tests.

const command = fileURLToPath(new URL('../bin/imgcopy.js', import.meta.url));
const nodes = process.argv.length > 2 ? process.argv.slice(2) : [process.env.npm_node_execpath ?? process.execPath];
const { host, stop } = await openRegistry();
const work = mkdtempSync(join(tmpdir(), 'imgcopy-smoke-'));
try {
  const original = writeImage('original');
  for (const [index, node] of nodes.entries()) {
    const tag = `docker://${host}/smoke-${index}:1`;
    const back = join(work, `back-${index}`);
    await imgcopy(node, ['--version']);
    await imgcopy(node, [`dir:${original}`, tag]);
    await imgcopy(node, [tag, `dir:${back}`]);
    assert.deepEqual(contents(back), contents(original));
  }
} finally {
  rmSync(work, { recursive: true });
  await stop();
}

async function openRegistry() {
  if (realTool('docker-registry') !== undefined) {
    const registry = await startRealRegistry('docker-registry');
    return { host: registry.host, stop: () => registry.stop() };
  }
  const registry = await startRegistry();
  return { host: registry.host, stop: () => registry.close() };
}

/** Writes a small image in the layout of dir:, and returns its path. */
function writeImage(name) {
  const path = join(work, name);
  mkdirSync(path);
  const { manifest, blobs } = buildImage({ layers: { count: 3, size: 100_000 } });
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  writeFileSync(join(path, 'manifest.json'), manifest.bytes);
  for (const [digest, bytes] of blobs) writeFileSync(join(path, digest.replace('sha256:', '')), bytes);
  return path;
}

async function imgcopy(node, args) {
  process.stdout.write(`${node}: imgcopy ${args.join(' ')}\n`);
  const child = spawn(node, [command, ...args], { env: { ...process.env, HOME: work }, stdio: 'inherit' });
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
}

function contents(path) {
  return new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name), 'base64')]));
}
