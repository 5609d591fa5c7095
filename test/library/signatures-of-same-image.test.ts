import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digestHex } from '../../src/digest/digest.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { writeImage } from '../transports/dir/image-directory.ts';
import { at, openHome, TestCopier, type TestHome } from './test-copier.ts';

const images = ['amd64', 'arm64'].map((seed) => buildImage({ layers: { count: 1, size: 500, seed } }));
const inner = buildIndex({ images: [{ image: images[1]! }] });
const index = buildIndex({ images: [{ image: images[0]! }, { image: inner }] });
const nested = `${digestHex(images[1]!.manifest.digest)}.signature-1`;
const direct = `${digestHex(images[0]!.manifest.digest)}.signature-1`;

/** Directories with the same image, each with signatures of its own. */
async function signedBoth(
  home: TestHome,
  source: Readonly<Record<string, string>>,
  destination: Readonly<Record<string, string>>,
): Promise<{ readonly from: string; readonly to: string }> {
  const [from, to] = [join(home.path, 'from'), join(home.path, 'to')];
  for (const [path, signatures] of [
    [from, source],
    [to, destination],
  ] as const) {
    await writeImage(path, index);
    for (const [name, text] of Object.entries(signatures)) await writeFile(join(path, name), text);
  }
  return { from, to };
}

async function signaturesIn(path: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(path)).filter((name) => name.includes('signature')).toSorted();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(path, name), 'utf8')])),
  );
}

test('signatures of an image that is there already are copied and removed, its instances’ too', async (t) => {
  const home = await openHome(t);
  const source = { 'signature-1': 'new', [direct]: 'new', [nested]: 'new' };
  const old = { 'signature-1': 'old', 'signature-2': 'old', [direct.replace(/1$/, '2')]: 'old' };
  const { from, to } = await signedBoth(home, source, old);
  await using copier = new TestCopier(home);
  const result = await copier.copy(`dir:${from}`, `dir:${to}`);
  assert.equal(result.skipped, 'same');
  assert.deepEqual(await signaturesIn(to), source);
});

test('signatures of an image that is there already are removed when told to', async (t) => {
  const home = await openHome(t);
  const all = { 'signature-1': 'old', [direct]: 'old', [nested]: 'old' };
  const { from, to } = await signedBoth(home, all, all);
  await using copier = new TestCopier(home);
  await copier.copy(`dir:${from}`, `dir:${to}`, { removeSignatures: true });
  assert.deepEqual(await signaturesIn(to), {});
});

test('an image of a registry, which has no signatures, leaves none beside the same image', async (t) => {
  const home = await openHome(t);
  await using registry = await startRegistry();
  registry.seed('app', '1', index);
  const { to } = await signedBoth(home, {}, { 'signature-1': 'old', [nested]: 'old' });
  await using copier = new TestCopier(home);
  const result = await copier.copy(at(registry, 'app:1'), `dir:${to}`);
  assert.equal(result.skipped, 'same');
  assert.deepEqual(await signaturesIn(to), {});
});
