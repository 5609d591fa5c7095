import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { buildImage, buildIndex } from '../support/images.ts';
import { program } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 80, size: 1_100_000 } });

async function copyWith(
  { files, jobs, home }: { readonly files: number; readonly jobs: number; readonly home: string },
  ...args: readonly string[]
): Promise<{ readonly retries: number; readonly skipped: string | null }> {
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', `ulimit -n ${files} && exec "$@"`, 'sh', process.execPath, program, '-j', `${jobs}`, '--json', ...args],
    { env: { HOME: home, PATH: process.env['PATH'] } },
  );
  return JSON.parse(stdout) as { retries: number; skipped: string | null };
}

test('finds an index of many images that is there already, with 64 files open at most', async () => {
  const images = Array.from({ length: 100 }, (_, number) => ({
    image: buildImage({ layers: [], annotations: { number: `${number}` } }),
    platform: { os: 'linux', architecture: 'amd64' },
  }));
  await using registry = await startRegistry();
  registry.seed('app', 'v1', buildIndex({ images }));
  const home = await mkdtemp(join(tmpdir(), 'imgcopy-files-'));
  const limits = { files: 64, jobs: 4, home };
  try {
    for (const destination of [`dir:${home}/image`, `oci:${home}/layout:v1`, `oci-archive:${home}/archive.tar:v1`]) {
      await copyWith(limits, `docker://${registry.host}/app:v1`, destination);
      const { skipped } = await copyWith(limits, `docker://${registry.host}/app:v1`, destination);
      assert.equal(skipped, 'same', destination);
    }
  } finally {
    await rm(home, { recursive: true });
  }
});

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
      const { retries } = await copyWith({ files, jobs, home }, ...args);
      assert.equal(retries, 0);
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
