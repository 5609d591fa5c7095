import assert from 'node:assert/strict';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const image = buildImage({ layers: { count: 3, size: 1000 } });
const BLOBS = 4;

interface Breakage {
  /** Does it, and gives what is to be closed. */
  readonly spoil: (path: string) => Promise<Disposable | undefined>;
  /** Whether the user is told; what is no database is set aside, and a new one made. */
  readonly warns: boolean;
}

async function spoilDatabase(path: string, statement: string): Promise<Disposable> {
  await mkdir(dirname(path), { recursive: true });
  const database = new DatabaseSync(path);
  database.exec(statement);
  return { [Symbol.dispose]: () => database.close() };
}

const breakages: Readonly<Record<string, Breakage>> = {
  'has a file in the place of its directory': {
    spoil: async (path) => {
      await mkdir(dirname(dirname(path)), { recursive: true });
      await writeFile(dirname(path), '');
      return undefined;
    },
    warns: true,
  },
  'is a directory': {
    spoil: async (path) => {
      await mkdir(path, { recursive: true });
      return undefined;
    },
    warns: true,
  },
  'is no database': {
    spoil: async (path) => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, 'no database at all\n'.repeat(1000));
      return undefined;
    },
    warns: false,
  },
  'was made by a later version': { spoil: (path) => spoilDatabase(path, 'PRAGMA user_version = 999'), warns: true },
  'is locked by another process': {
    spoil: (path) => spoilDatabase(path, 'PRAGMA user_version = 0; BEGIN EXCLUSIVE'),
    warns: true,
  },
};

async function copyTwice(copier: TestCopier): Promise<void> {
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  await copier.copy(at(from, 'app:v1'), at(to, 'first:v1'));
  const { blobs } = await copier.copy(at(from, 'app:v1'), at(to, 'second:v1'));
  assert.equal(blobs.mounted, BLOBS, 'within a run, all is known');
  for (const repository of ['first', 'second']) assert.deepEqual(to.manifest(repository, 'v1'), image.manifest);
}

function cacheOf(home: TestHome): string {
  return join(home.path, 'cache/imgcopy/blob-info-cache-v1.sqlite');
}

for (const [how, { spoil, warns }] of Object.entries(breakages)) {
  test(`copies although the cache ${how}${warns ? ', and says so once' : ''} (behaviour 72)`, async (t) => {
    const home = await openHome(t);
    const spoilt = await spoil(cacheOf(home));
    t.after(() => spoilt?.[Symbol.dispose]());
    await using copier = new TestCopier(home);
    await copyTwice(copier);
    const [warning, ...others] = copier.warnings;
    assert.deepEqual(others, []);
    if (warns) assert.match(warning ?? '', new RegExp(`^blob info cache ${cacheOf(home)} is not used: `));
    else assert.equal(warning, undefined);
  });
}

test('copies although no directory of the user can be written to', async (t) => {
  const home = await openHome(t);
  await using copier = new TestCopier(home, {
    env: { ...home.env, XDG_CACHE_HOME: '/dev/null/cache', XDG_STATE_HOME: '/dev/null/state' },
  });
  await copyTwice(copier);
});

test('neither reads nor writes a cache that is switched off', async (t) => {
  const home = await openHome(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', 'v1', image);
  for (const repository of ['first', 'second']) {
    await using copier = new TestCopier(home, { cache: false });
    const { blobs } = await copier.copy(at(from, 'app:v1'), at(to, `${repository}:v1`));
    assert.deepEqual([blobs.mounted, blobs.copied], [0, BLOBS]);
  }
  await assert.rejects(access(cacheOf(home)), { code: 'ENOENT' });
});
