import { cpSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { argv, kill, pid } from 'node:process';
import { beginDirDestination, putImage } from './image-directory.ts';
import { beginOciDestination } from '../oci/layout-directory.ts';
import { newer, signature } from './interrupted-images.ts';

/**
 * Writes an image to a directory, as TRANSPORT has it: `dir` or `oci`, which names it `latest`.
 * Usage: interrupted-writer.ts TRANSPORT DIRECTORY snapshots PARENT  copies the directory to PARENT/1, PARENT/2, …, before each step that changes the disk
 *        interrupted-writer.ts TRANSPORT DIRECTORY kill              dies right before the rename that makes the image visible
 */
const [, , transport, directory = '', mode, parent = ''] = argv;
const visible = join(directory, transport === 'oci' ? 'index.json' : 'manifest.json');
let steps = 0;

type Operation = (...parameters: unknown[]) => unknown;

function interrupt(owner: object, names: readonly string[]): void {
  const operations = owner as Record<string, Operation>;
  for (const name of names) {
    const original = operations[name] as Operation;
    operations[name] = function (this: unknown, ...parameters: unknown[]): unknown {
      steps += 1;
      if (mode === 'snapshots') cpSync(directory, join(parent, String(steps)), { recursive: true });
      else if (name === 'rename' && parameters[1] === visible) kill(pid, 'SIGKILL');
      return Reflect.apply(original, this, parameters);
    };
  }
}

const handle = await fs.open(directory);
interrupt(Object.getPrototypeOf(handle) as object, ['write', 'writev', 'writeFile', 'truncate', 'chmod', 'sync']);
await handle.close();
interrupt(fs, ['open', 'mkdir', 'rename', 'rm', 'rmdir']);
syncBuiltinESMExports();

await using destination =
  transport === 'oci' ? await beginOciDestination(directory, 'latest') : await beginDirDestination(directory);
await putImage(destination, newer, [signature]);
