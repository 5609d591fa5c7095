import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildImage } from '../support/images.ts';
import { program } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 80, size: 1_100_000 } });

for (const [files, jobs] of [
  [64, 64],
  [48, 16],
  [128, 128],
] as const) {
  test(`copies many layers with ${files} files open at most, and ${jobs} jobs, from and to a directory`, async () => {
    await using registry = await startRegistry();
    registry.seed('app', 'v1', image);
    const home = await mkdtemp(join(tmpdir(), 'imgcopy-files-'));
    const copy = async (...args: readonly string[]): Promise<void> => {
      const { stdout } = await promisify(execFile)(
        'sh',
        ['-c', `ulimit -n ${files} && exec "$@"`, 'sh', process.execPath, program, '-j', `${jobs}`, '--json', ...args],
        { env: { HOME: home, PATH: process.env['PATH'] } },
      );
      assert.equal((JSON.parse(stdout) as { retries: number }).retries, 0);
    };
    try {
      await copy(`docker://${registry.host}/app:v1`, `dir:${home}/image`);
      await copy(`dir:${home}/image`, `docker://${registry.host}/copy:v1`);
      assert.equal(registry.manifest('copy', 'v1')?.digest, image.manifest.digest);
    } finally {
      await rm(home, { recursive: true });
    }
  });
}
