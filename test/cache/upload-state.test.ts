import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { type NotedUpload, openUploadState, type UploadState } from '../../src/cache/upload-state.ts';
import { startProcess } from './processes.ts';
import { digestNamed, type ScratchUser, scratchUser } from './scratch.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const target = { registry: 'registry.test', repository: 'app', digest: digestNamed('layer') };
const upload: NotedUpload = {
  ...target,
  size: 50_000_000,
  location: 'https://registry.test/v2/app/blobs/uploads/1?_state=secret',
  offset: 20_000_000,
};

async function openState(user: ScratchUser, now?: () => number): Promise<UploadState> {
  return openUploadState({ ...user, now, onWarning: (message) => assert.fail(message) });
}

test('a session that one run left open, a later one claims once', async (t) => {
  const user = await scratchUser(t);
  {
    using state = await openState(user);
    assert.equal(state.remember(upload), true);
  }
  using state = await openState(user);
  assert.equal(state.claim({ ...target, repository: 'other' }), undefined);
  const left = { location: upload.location, offset: upload.offset };
  assert.deepEqual([state.find(target), state.find(target)], [left, left], 'to find it does not take it');
  assert.deepEqual(state.claim(target), left);
  assert.deepEqual([state.find(target), state.claim(target)], [undefined, undefined]);
});

test('a session belongs to who noted or claimed it, until that leaves it', async (t) => {
  const user = await scratchUser(t);
  using writer = await openState(user);
  using other = await openState(user);
  writer.remember(upload);
  assert.equal(writer.claim(target), undefined, 'it is being written');
  assert.equal(other.claim(target), undefined);
  assert.equal(writer.leave({ ...upload, offset: 30_000_000 }), true);
  assert.deepEqual(other.claim(target), { location: upload.location, offset: 30_000_000 });
  assert.equal(writer.claim(target), undefined, 'it is the claimer’s now');
  other[Symbol.dispose]();
  assert.equal(writer.claim(target)?.offset, 30_000_000, 'a claimed session is not lost when its claimer ends');
});

test('a session of a process that was killed is claimed, of one that lives it is not', async (t) => {
  const user = await scratchUser(t);
  const writer = startProcess(t, user.homeDir);
  assert.deepEqual(await writer.run('remember', 'layer'), { result: true, warnings: [] });
  using state = await openState(user);
  assert.equal(state.claim(target), undefined);
  assert.deepEqual((await startProcess(t, user.homeDir).run('claim', 'layer')).result, []);
  await writer.end();
  assert.equal(state.claim(target)?.location, '/upload/of-a-process');
  assert.deepEqual((await startProcess(t, user.homeDir).run('claim', 'layer')).result, [], 'it is claimed by this one');
});

test('an owner’s lock file goes with it, a dead owner’s with the next one', async (t) => {
  const user = await scratchUser(t);
  const locks = async (): Promise<number> =>
    (await readdir(dirname(user.uploadsPath))).filter((name) => name.endsWith('.lock')).length;
  const killed = startProcess(t, user.homeDir);
  await killed.run('remember', 'layer');
  await killed.end();
  assert.equal(await locks(), 1);
  {
    using state = await openState(user);
    state.remember(upload);
    assert.equal(await locks(), 1, 'its own');
  }
  assert.equal(await locks(), 0);
});

test('of several sessions for a blob the one that came farthest is claimed first', async (t) => {
  const user = await scratchUser(t);
  {
    using run = await openState(user);
    for (const offset of [1, 3, 2]) run.remember({ ...upload, location: `/upload/${offset}`, offset });
    run.remember({ ...upload, location: '/upload/2', offset: 4 });
  }
  using state = await openState(user);
  const claimed = [state.claim(target), state.claim(target), state.claim(target), state.claim(target)];
  assert.deepEqual(
    claimed.map((one) => one?.offset),
    [4, 3, 1, undefined],
  );
});

test('a session that is closed is forgotten, others for its blob are not', async (t) => {
  const user = await scratchUser(t);
  {
    using run = await openState(user);
    run.remember(upload);
    run.remember({ ...upload, location: '/upload/2' });
    run.forget(upload);
    assert.equal(run.leave(upload), false);
  }
  using state = await openState(user);
  assert.equal(state.claim(target)?.location, '/upload/2');
  assert.equal(state.claim(target), undefined);
});

test('a session is too old after six days, and leaves the file', async (t) => {
  const user = await scratchUser(t);
  let now = Date.UTC(2026, 0, 1);
  using state = await openState(user, () => now);
  state.remember(upload);
  state.leave(upload);
  now += 6 * DAY_MS;
  assert.equal(state.claim(target), undefined);
  state.remember({ ...upload, repository: 'other' });
  using file = new DatabaseSync(user.uploadsPath);
  assert.deepEqual(
    file
      .prepare('SELECT repository FROM uploads')
      .all()
      .map((row) => row['repository']),
    ['other'],
  );
});

test('the file is for its owner only, with its journals', async (t) => {
  const user = await scratchUser(t);
  using state = await openState(user);
  state.remember(upload);
  for (const suffix of ['', '-wal', '-shm']) {
    assert.equal(statSync(user.uploadsPath + suffix).mode & 0o777, 0o600, suffix);
  }
  assert.equal(statSync(dirname(user.uploadsPath)).mode & 0o777, 0o700);
});

test('the file lies in XDG_STATE_HOME where that is set', async (t) => {
  const user = await scratchUser(t);
  using state = await openState({ ...user, env: { XDG_STATE_HOME: join(user.homeDir, 'state') } });
  assert.equal(state.remember(upload), true);
  assert.ok(existsSync(join(user.homeDir, 'state/imgcopy/uploads.sqlite')));
});

test('processes that claim at the same time never get the same session', async (t) => {
  const user = await scratchUser(t);
  {
    using state = await openState(user);
    for (let index = 0; index < 60; index++) state.remember({ ...upload, location: `/upload/${index}` });
  }
  const processes = Array.from({ length: 3 }, () => startProcess(t, user.homeDir));
  const answers = await Promise.all(processes.map((one) => one.run('claim', 'layer')));
  const claimed = answers.flatMap(({ result }) => result as string[]);
  // Who waits for a lock in vain stops there and leaves the rest: the processes above, and on a busy machine this one.
  for (let attempt = 0; attempt < 20 && claimed.length < 60; attempt += 1) {
    const state = await openState(user);
    // What it has claimed is free again once it is closed.
    t.after(() => state[Symbol.dispose]());
    for (let rest = state.claim(target); rest !== undefined; rest = state.claim(target)) claimed.push(rest.location);
  }
  assert.equal(claimed.length, 60);
  assert.equal(new Set(claimed).size, 60);
});

test('a session is not claimed while another process holds the lock, nor noted', async (t) => {
  const user = await scratchUser(t);
  using state = await openState(user);
  state.remember(upload);
  state.leave(upload);
  using other = new DatabaseSync(user.uploadsPath);
  other.exec('BEGIN IMMEDIATE');
  assert.equal(state.claim(target), undefined);
  assert.equal(state.remember({ ...upload, location: '/upload/2' }), false);
  assert.equal(state.leave(upload), false);
  state.forget(upload);
  other.exec('COMMIT');
  assert.equal(state.claim(target)?.location, upload.location);
});

test('a state file that is garbage is set aside and counts as empty', async (t) => {
  const user = await scratchUser(t);
  await mkdir(dirname(user.uploadsPath), { recursive: true });
  await writeFile(user.uploadsPath, 'garbage, for certain, and enough of it to be no database at all'.repeat(50));
  using state = await openState(user);
  assert.equal(state.claim(target), undefined);
  assert.equal(state.remember(upload), true);
  assert.ok(existsSync(`${user.uploadsPath}.corrupt`));
});

test('a state file that proves to be damaged is set aside for the next run', async (t) => {
  const user = await scratchUser(t);
  {
    using state = await openState(user);
    for (let index = 0; index < 200; index++) state.remember({ ...upload, location: `/upload/${index}` });
  }
  const file = await open(user.uploadsPath, 'r+');
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - 4096, 0xff), 0, size - 4096, 4096);
  await file.close();

  const warnings: string[] = [];
  using state = await openUploadState({ ...user, onWarning: (message) => warnings.push(message) });
  assert.equal(state.claim(target), undefined);
  assert.equal(state.remember(upload), false);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!, /malformed/);
  using next = await openState(user);
  assert.equal(next.remember(upload), true);
});

test('where no file can be written nothing is remembered', async (t) => {
  const user = await scratchUser(t);
  const file = join(user.homeDir, 'file');
  await writeFile(file, '');
  const warnings: string[] = [];
  const env = { XDG_STATE_HOME: file };
  using state = await openUploadState({ ...user, env, onWarning: (message) => warnings.push(message) });
  assert.equal(state.remember(upload), false);
  assert.equal(state.claim(target), undefined);
  assert.equal(state.leave(upload), false);
  state.forget(upload);
  assert.equal(warnings.length, 1);
});
