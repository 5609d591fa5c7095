import assert from 'node:assert/strict';
import { readdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import { waitForLock } from '../../../src/local/directory-lock.ts';
import { buildImage, randomBytes } from '../../support/images.ts';
import { runImgcopy } from '../../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { blobInfo, putImage, temporaryDirectory } from '../dir/image-directory.ts';
import { partialName, untilFileHas } from '../../integration/interruptions.ts';
import {
  assertHolds,
  beginOciDestination,
  holdsBlobsOf,
  listedIn,
  listing,
  type NamedImage,
  writeLayout,
} from './layout-directory.ts';

const shared = randomBytes('shared', 3_000_000);
const images: readonly NamedImage[] = ['a', 'b', 'c', 'd'].map((name) => [
  name,
  buildImage({ layers: [shared, randomBytes(name, 500_000)] }),
]);

function seeded(registry: TestRegistry): void {
  for (const [name = '', image] of images) registry.seed('app', name, image);
}

test('processes that copy different images into one new layout at the same time all end up there', async (t) => {
  await using registry = await startRegistry();
  seeded(registry);
  const home = await openHome(t);
  const lay = join(home.path, 'new/lay');
  const runs = images.map(([name]) =>
    runImgcopy([at(registry, `app:${name}`), `oci:${lay}`, '--plain-http'], { env: { HOME: home.path } }),
  );
  for (const { status, stderr } of await Promise.all(runs)) assert.equal(status, 0, stderr);
  await assertHolds(lay, ...images);
});

test('copies of one copier do too', async (t) => {
  await using registry = await startRegistry();
  seeded(registry);
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await using copier = new TestCopier(home);
  await Promise.all(images.map(([name]) => copier.copy(at(registry, `app:${name}`), `oci:${lay}`)));
  await assertHolds(lay, ...images);
});

test('a copy whose source is silent does not keep others waiting', async (t) => {
  await using registry = await startRegistry();
  seeded(registry);
  const own = buildImage({ layers: [randomBytes('own', 1000)] });
  registry.seed('app', 'own', own);
  const { digest } = blobInfo(shared);
  registry.behave({ match: { path: new RegExp(`/blobs/${digest}$`) }, stallAfterBytes: 2_000_000 });
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay);
  await using copier = new TestCopier(home);
  const stopped = new AbortController();
  const waiting = copier.copy(at(registry, 'app:a'), `oci:${lay}`, { signal: stopped.signal });
  waiting.catch(() => undefined);
  await untilFileHas(lay, partialName(digest), 2_000_000);
  await copier.copy(at(registry, 'app:own'), `oci:${lay}`);
  assert.deepEqual(await listedIn(lay), listing(['own', own]));
  assert.equal(await holdsBlobsOf(lay, own), true);
  stopped.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
});

test('a blob that somebody else is writing is waited for, and not written twice', async (t) => {
  const directory = await realpath(await temporaryDirectory(t));
  await using one = await beginOciDestination(directory, 'one');
  await using other = await beginOciDestination(directory, 'other');
  const bytes = randomBytes('blob', 100_000);
  const held = new Readable({ read() {} });
  const writing = one.putBlobWithOptions(held, blobInfo(bytes), {});
  held.push(bytes.subarray(0, 50_000));
  await untilFileHas(directory, partialName(blobInfo(bytes).digest), 50_000);
  const unread = Readable.from([bytes], { objectMode: false });
  const waiting = other.putBlobWithOptions(unread, blobInfo(bytes), {});
  held.push(bytes.subarray(50_000));
  held.push(null);
  assert.deepEqual(await writing, blobInfo(bytes));
  assert.deepEqual(await waiting, blobInfo(bytes));
  assert.equal(unread.readableDidRead, false);
});

test('locks of blobs that a killed run left are removed, those that somebody holds stay', async (t) => {
  const directory = await realpath(await temporaryDirectory(t));
  await writeLayout(directory);
  const [free, held] = ['free', 'held'].map((name) => `sha256-${digestHex(digestOf(Buffer.from(name)))}`);
  await writeFile(join(directory, `.imgcopy-${free}.lock`), '');
  const lock = await waitForLock(directory, held);
  t.after(() => lock[Symbol.dispose]());
  {
    await using destination = await beginOciDestination(directory, 'new');
    await putImage(destination, buildImage({ layers: [randomBytes('new', 1000)] }));
  }
  const locks = (await readdir(directory)).filter((name) => name.endsWith('.lock'));
  assert.deepEqual(locks, [`.imgcopy-${held}.lock`]);
});
