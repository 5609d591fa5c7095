import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { UploadState } from '../../../../src/cache/upload-state.ts';
import { digestOf } from '../../../../src/digest/digest.ts';
import { resolveUrl } from '../../../../src/http/send/exact-url.ts';
import type { UploadLocation } from '../../../../src/transports/registry/client.ts';
import { NotedUploads } from '../../../../src/transports/registry/upload/noted-uploads.ts';
import { stateHome } from './uploading.ts';

const origin = 'https://registry.test';
const repository = { registry: 'registry.test', repository: 'app' };
const info = { digest: digestOf(Buffer.from('large')), size: 16 * 1024 * 1024 };
const target = { ...repository, digest: info.digest };

/** Its signature has a character that a URL object would escape. */
function upload(name: string, at: string = origin): UploadLocation {
  const url = resolveUrl(`${at}/v2/app/blobs/uploads/${name}?signature='1'`);
  assert.ok(url);
  return { url };
}

interface Run {
  readonly noted: NotedUploads;
  readonly state: UploadState;
}

async function startRun(t: TestContext, openState: () => Promise<UploadState>): Promise<Run> {
  const state = await openState();
  t.after(() => state[Symbol.dispose]());
  return { state, noted: new NotedUploads(() => Promise.resolve(state), origin, repository) };
}

test('an upload that was left is the next run’s, one under way is not', async (t) => {
  const openState = await stateHome(t);
  const [first, second] = [await startRun(t, openState), await startRun(t, openState)];
  await first.noted.note(info, upload('1'));
  assert.equal(await second.noted.claim(info), undefined);
  assert.equal(await first.noted.leave(info, 20_000_000), true);
  assert.deepEqual(await second.noted.claim(info), upload('1'));
  assert.equal(await first.noted.claim(info), undefined);
  assert.equal(await second.noted.leave(info, 20_000_000), true, 'what was claimed can be left again');
});

test('a run that dies leaves what it had noted', async (t) => {
  const openState = await stateHome(t);
  const [first, second] = [await startRun(t, openState), await startRun(t, openState)];
  await first.noted.note(info, upload('1'));
  first.state[Symbol.dispose]();
  assert.deepEqual(await second.noted.claim(info), upload('1'));
});

test('a new upload for a blob takes the place of the old one', async (t) => {
  const openState = await stateHome(t);
  const [first, second] = [await startRun(t, openState), await startRun(t, openState)];
  await first.noted.note(info, upload('1'));
  await first.noted.note(info, upload('1'));
  await first.noted.note(info, upload('2'));
  await first.noted.leave(info, 1);
  assert.deepEqual(await second.noted.claim(info), upload('2'));
  assert.equal(await second.noted.claim(info), undefined);
});

test('what is closed or cancelled is forgotten', async (t) => {
  const openState = await stateHome(t);
  const [first, second] = [await startRun(t, openState), await startRun(t, openState)];
  await first.noted.note(info, upload('1'));
  await first.noted.forget(info);
  assert.equal(await first.noted.leave(info, 1), false);
  assert.equal(await second.noted.claim(info), undefined);
});

test('an upload at another origin is neither noted nor claimed', async (t) => {
  const { noted, state } = await startRun(t, await stateHome(t));
  await noted.note(info, upload('1', 'https://elsewhere.test'));
  assert.equal(await noted.leave(info, 1), false);
  for (const location of ['https://elsewhere.test/upload', 'http://registry.test/upload', 'no URL at all']) {
    const session = { ...target, location, offset: 1 };
    state.remember({ ...session, size: info.size });
    state.leave(session);
    assert.equal(await noted.claim(info), undefined, location);
    assert.equal(state.claim(target), undefined, 'and it is forgotten');
  }
});

test('a short blob does not open the state file', async () => {
  const noted = new NotedUploads(() => Promise.reject(new Error('the state file was opened')), origin, repository);
  const short = { ...info, size: 4 * 1024 * 1024 - 1 };
  await noted.note(short, upload('1'));
  assert.equal(await noted.claim(short), undefined);
  assert.equal(await noted.leave(short, 1), false);
  await noted.forget(short);
});
