import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { chdir, cwd } from 'node:process';
import { describe, test } from 'node:test';
import type { Digest } from '../../../src/digest/digest.ts';
import { InvalidReferenceError } from '../../../src/reference/reference-errors.ts';
import { parseImageName } from '../../../src/transports/table.ts';
import { temporaryDirectory } from '../dir/image-directory.ts';

const DIGEST: Digest = `sha256:${'a'.repeat(64)}`;
const OTHER: Digest = `sha512:${'b'.repeat(128)}`;

describe('the first colon ends the path, as in skopeo', () => {
  const names: readonly (readonly [string, string | undefined, Digest | undefined])[] = [
    ['oci:lay', undefined, undefined],
    ['oci:./a b/lay', undefined, undefined],
    ['oci:lay:v1', 'v1', undefined],
    ['oci:/srv/lay:registry.test:5000/team/app:1.0', 'registry.test:5000/team/app:1.0', undefined],
    [`oci:lay@${DIGEST}`, undefined, DIGEST],
    [`oci:lay@${OTHER}`, undefined, OTHER],
    [`oci:lay:v1@${DIGEST}`, 'v1', DIGEST],
    [`oci:user@host/lay:v1`, 'v1', undefined],
    ['oci:lay:@0', '@0', undefined],
  ];
  for (const [text, tag, digest] of names) {
    test(text, () => {
      const name = parseImageName(text);
      assert.equal(name.transport, 'oci');
      assert.equal(name.tag, tag);
      assert.equal(name.digest, digest);
      assert.equal(String(name), text);
      assert.equal(String(name.withDefaultTag()), text);
    });
  }
});

for (const text of [
  'oci:',
  'oci::v1',
  'oci:lay:',
  `oci:@${DIGEST}`,
  'oci:lay@sha256:abc',
  'oci:lay:v1@sha256:abc',
  'oci:a\0b',
  'oci://registry.test/chart:1',
]) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseImageName(text), InvalidReferenceError);
  });
}

test('what looks like a registry is hinted at, and no password is repeated', () => {
  assert.throws(() => parseImageName('oci://user:secret@registry.test/chart:1'), {
    hint: 'did you mean docker://registry.test/chart:1 for a registry, or oci:/registry.test/chart:1 for a directory?',
    message: /^(?!.*secret)/,
  });
});

test('pins an image by digest, without its name', () => {
  for (const text of ['oci:/a b:v1', `oci:/a b:v1@${OTHER}`, 'oci:/a b']) {
    const pinned = parseImageName(text).pinned(DIGEST);
    assert.equal(pinned, `oci:/a b@${DIGEST}`);
    assert.equal(String(parseImageName(pinned)), pinned);
  }
});

describe('what the destination leaves out is taken from the source', () => {
  for (const [destination, source, expected] of [
    ['oci:lay', 'registry.test/app:1.0', 'oci:lay:1.0'],
    ['oci:lay', 'alpine', 'oci:lay:latest'],
    ['oci:lay', `registry.test/app@${DIGEST}`, 'oci:lay'],
    ['oci:lay', 'dir:app', 'oci:lay'],
    ['oci:lay', 'oci:other:registry.test/app:1', 'oci:lay:registry.test/app:1'],
    ['oci:lay:v1', 'registry.test/app:1.0', 'oci:lay:v1'],
    [`oci:lay@${DIGEST}`, 'registry.test/app:1.0', `oci:lay@${DIGEST}`],
    ['registry.test/app', 'oci:lay:v1', 'docker://registry.test/app:v1'],
    ['registry.test/app', `oci:lay@${DIGEST}`, `docker://registry.test/app@${DIGEST}`],
    ['registry.test/app', 'oci:lay', 'docker://registry.test/app:latest'],
    ['dir:app', 'oci:lay:v1', 'dir:app'],
  ] as const) {
    test(`${source} to ${destination} goes to ${expected}`, () => {
      const from = parseImageName(source).withDefaultTag();
      assert.equal(String(parseImageName(destination).completedFrom(from)), expected);
    });
  }

  test('but not a name that is not a tag, to a registry', () => {
    const from = parseImageName('oci:lay:registry.test/app:1');
    assert.throws(() => parseImageName('registry.test/app').completedFrom(from), {
      kind: 'usage',
      message: 'docker://registry.test/app needs a tag, and the source is called "registry.test/app:1", which is none',
      hint: 'give the destination a tag: docker://registry.test/app:TAG',
    });
  });
});

test('new images get names that other tools can read; what is there is read by any name', () => {
  for (const name of ['v1', 'a__b', '_x', 'registry.test:5000/app:1', 'a+b', 'a--b']) {
    assert.equal(parseImageName(`oci:lay:${name}`).completedFrom(undefined).tag, name);
  }
  for (const name of ['a b', '@0', 'a//b', 'a\nb', 'ä']) {
    assert.equal(parseImageName(`oci:lay:${name}`).tag, name);
    assert.throws(() => parseImageName(`oci:lay:${name}`).completedFrom(undefined), InvalidReferenceError);
  }
});

test('all paths of one layout are one place, and its images are several', async (t) => {
  const parent = await temporaryDirectory(t);
  await mkdir(join(parent, 'lay'));
  await symlink('lay', join(parent, 'link'));
  const before = cwd();
  t.after(() => chdir(before));
  chdir(parent);
  const place = (text: string): Promise<string> => parseImageName(text).place();
  for (const same of ['oci:./lay', `oci:${parent}/lay`, 'oci:link', 'oci:lay/../lay/']) {
    assert.equal(await place(same), await place('oci:lay'), same);
    assert.equal(await place(`${same}:v1`), await place('oci:lay:v1'), same);
  }
  assert.notEqual(await place('oci:lay:v1'), await place('oci:lay:v2'));
  assert.notEqual(await place('oci:lay:v1'), await place(`oci:lay@${DIGEST}`));
  assert.equal(await place('oci:lay/new'), await place('oci:link/new'), 'what is not there yet has a place too');
});
