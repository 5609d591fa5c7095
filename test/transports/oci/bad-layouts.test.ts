import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { ImgcopyError } from '../../../src/index.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { buildImage, buildIndex, describe as describeBytes, randomBytes } from '../../support/images.ts';
import { runImgcopy } from '../../support/imgcopy-command.ts';
import { startRegistry } from '../../support/registry.ts';
import { mountReadOnly, mountSmall } from '../../support/small-file-system.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { blobInfo } from '../dir/image-directory.ts';
import {
  assertHolds,
  filesIn,
  holdsBlobsOf,
  listedIn,
  listing,
  REF_NAME,
  writeIndex,
  writeLayout,
} from './layout-directory.ts';

const timeout = 30_000;
const layer = randomBytes('layer', 3000);
const image = buildImage({ layers: [layer] });
const other = buildImage({ layers: [randomBytes('other', 2000)] });
const entry = describeBytes(image.manifest.bytes, image.manifest.mediaType);
const named = (name: unknown, of = entry): object => ({ ...of, annotations: { [REF_NAME]: name } });

/** A layout in which something is wrong. */
interface BadLayout {
  readonly what: string;
  readonly damage: (lay: string) => Promise<void>;
  readonly code: string;
  readonly kind?: string;
  readonly tells: RegExp;
  /** Whether nothing may be written to it either. Default true. */
  readonly isRefused?: boolean;
}

async function asPipe(path: string): Promise<void> {
  await rm(path, { force: true });
  execFileSync('mkfifo', [path]);
}

const layouts: readonly BadLayout[] = [
  ...['', '{', '[]', '"index"', '{"schemaVersion":2}'].map((text) => ({
    what: `an index.json of ${JSON.stringify(text)}`,
    damage: (lay: string) => writeIndex(lay, text),
    code: 'ERR_INVALID_LAYOUT',
    tells: /the index\.json file of oci:.*lay is/,
  })),
  {
    what: 'an index.json that is an image',
    damage: (lay) => writeIndex(lay, image.manifest.bytes.toString()),
    code: 'ERR_INVALID_LAYOUT',
    tells: /expected an index/,
  },
  {
    what: 'an index.json of 5 GiB',
    damage: (lay) => truncate(join(lay, 'index.json'), 5 * 2 ** 30),
    code: 'ERR_INVALID_LAYOUT',
    tells: /has 5368709120 bytes, more than 4194304/,
  },
  {
    what: 'an annotation that is no string',
    damage: (lay) => writeIndex(lay, { schemaVersion: 2, manifests: [named(7)] }),
    code: 'ERR_INVALID_LAYOUT',
    tells: /manifests\[0\]\.annotations\.org\.opencontainers\.image\.ref\.name should be a string, found 7/,
  },
  {
    what: 'a digest that leads elsewhere',
    damage: (lay) =>
      writeIndex(lay, { schemaVersion: 2, manifests: [{ ...entry, digest: 'sha256:../../../etc/passwd' }] }),
    code: 'ERR_INVALID_LAYOUT',
    tells: /manifests\[0\]\.digest should be a sha256 or sha512 digest/,
  },
  {
    what: 'an index.json that is a pipe',
    damage: (lay) => asPipe(join(lay, 'index.json')),
    code: 'ERR_NOT_A_FILE',
    tells: /index\.json is not a regular file/,
  },
  {
    what: 'an index.json that is a directory',
    damage: async (lay) => {
      await rm(join(lay, 'index.json'));
      await mkdir(join(lay, 'index.json'));
    },
    code: 'ERR_NOT_A_FILE',
    tells: /index\.json is not a regular file/,
  },
  {
    what: 'no index.json',
    damage: (lay) => rm(join(lay, 'index.json')),
    code: 'ERR_NOT_AN_IMAGE',
    kind: 'not-found',
    tells: /does not contain an image yet: it has no index\.json/,
    isRefused: false,
  },
  {
    what: 'an index.json without an image',
    damage: (lay) => writeIndex(lay, { schemaVersion: 2, manifests: [] }),
    code: 'ERR_IMAGE_NOT_FOUND',
    kind: 'not-found',
    tells: /oci:.*lay holds no image/,
    isRefused: false,
  },
  {
    what: 'no oci-layout',
    damage: (lay) => rm(join(lay, 'oci-layout')),
    code: 'ERR_NOT_AN_IMAGE',
    kind: 'not-found',
    tells: /is not an OCI image layout: it has no oci-layout file/,
  },
  {
    what: 'an oci-layout of another version',
    damage: (lay) => writeFile(join(lay, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}'),
    code: 'ERR_LAYOUT_VERSION',
    tells: /the oci-layout file of oci:.*lay has imageLayoutVersion "2\.0\.0", expected 1\.0\.0/,
  },
  {
    what: 'an oci-layout that is no JSON',
    damage: (lay) => writeFile(join(lay, 'oci-layout'), '1.0.0\n'),
    code: 'ERR_INVALID_LAYOUT',
    tells: /the oci-layout file of oci:.*lay is invalid/,
  },
  {
    what: 'a manifest that is missing',
    damage: (lay) => rm(join(lay, layoutBlobPath(image.manifest.digest))),
    code: 'ERR_MANIFEST_NOT_FOUND',
    kind: 'not-found',
    tells: /is missing manifest sha256:/,
    isRefused: false,
  },
  {
    what: 'a manifest with other bytes',
    damage: (lay) =>
      writeFile(
        join(lay, layoutBlobPath(image.manifest.digest)),
        image.manifest.bytes.toString().replace('schemaVersion', 'schemaversion'),
      ),
    code: 'ERR_INVALID_MANIFEST',
    tells: /invalid manifest/,
    isRefused: false,
  },
  {
    what: 'a manifest of another length',
    damage: (lay) =>
      writeFile(join(lay, layoutBlobPath(image.manifest.digest)), `${image.manifest.bytes.toString()}\n`),
    code: 'ERR_CONTENT_MISMATCH',
    kind: 'integrity',
    tells: /has the wrong size/,
    isRefused: false,
  },
  {
    what: 'a layer that is missing',
    damage: (lay) => rm(join(lay, layoutBlobPath(blobInfo(layer).digest))),
    code: 'ERR_BLOB_NOT_FOUND',
    kind: 'not-found',
    tells: /is missing blob sha256:/,
    isRefused: false,
  },
  {
    what: 'a layer that is a directory',
    damage: async (lay) => {
      const path = join(lay, layoutBlobPath(blobInfo(layer).digest));
      await rm(path);
      await mkdir(path);
    },
    code: 'ERR_NOT_A_FILE',
    tells: /is not a regular file/,
    isRefused: false,
  },
  {
    what: 'a layer that is a pipe',
    damage: (lay) => asPipe(join(lay, layoutBlobPath(blobInfo(layer).digest))),
    code: 'ERR_NOT_A_FILE',
    tells: /is not a regular file/,
    isRefused: false,
  },
  {
    what: 'a name that two images have',
    damage: async (lay) => {
      await writeLayout(lay, ['1', image], ['1', other]);
    },
    code: 'ERR_SEVERAL_IMAGES',
    kind: 'usage',
    tells: new RegExp(`several images named "1": ${image.manifest.digest}, ${other.manifest.digest}`),
    isRefused: false,
  },
];

async function openStage(t: TestContext): Promise<{ readonly lay: string; readonly copier: TestCopier }> {
  const home = await openHome(t);
  const lay = join(home.path, 'lay');
  await writeLayout(lay, ['1', image]);
  const copier = new TestCopier(home, { retryTimes: 0 });
  t.after(() => copier[Symbol.asyncDispose]());
  return { lay, copier };
}

/** All that an error says, its causes too. */
async function rejection(promise: Promise<unknown>): Promise<{ readonly error: ImgcopyError; readonly text: string }> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  const messages: string[] = [];
  for (let one = error; one instanceof Error; one = one.cause) messages.push(one.message);
  assert.ok(error instanceof ImgcopyError, messages.join('\n'));
  return { error, text: messages.join('\n') };
}

describe('a layout that cannot be read', () => {
  for (const { what, damage, code, kind = 'failed', tells } of layouts) {
    test(`${what} is shown as such`, { timeout }, async (t) => {
      const { lay, copier } = await openStage(t);
      await damage(lay);
      const { error, text } = await rejection(copier.copy(`oci:${lay}:1`, `oci:${lay}-copy`));
      assert.equal(error.code, code, text);
      assert.equal(error.kind, kind);
      assert.match(text, what === 'an index.json without an image' ? /has no image named "1"/ : tells);
      assert.deepEqual(await listedIn(`${lay}-copy`), []);
    });
  }
});

describe('a layout that is written to', () => {
  for (const { what, damage, isRefused = true } of layouts) {
    test(`with ${what} is ${isRefused ? 'left as it is' : 'put right'}`, { timeout }, async (t) => {
      const { lay, copier } = await openStage(t);
      await damage(lay);
      const before = await filesIn(lay);
      await using registry = await startRegistry();
      registry.seed('app', '1', image);
      const copying = copier.copy(at(registry, 'app:1'), `oci:${lay}`);
      if (isRefused) {
        await rejection(copying);
        assert.deepEqual(await filesIn(lay), before);
        return;
      }
      const failed = what === 'a layer that is a directory' ? (await rejection(copying)).error : undefined;
      if (failed !== undefined) {
        assert.equal(failed.code, 'ERR_NOT_A_FILE');
        assert.equal(failed.hint, 'move it away');
        return;
      }
      await copying;
      assert.deepEqual(await listedIn(lay), listing(['1', image]));
      assert.equal(await holdsBlobsOf(lay, image), true);
    });
  }
});

test('files of others are no layout, and stay as they are', async (t) => {
  const { lay, copier } = await openStage(t);
  const [files, dir] = [`${lay}-files`, `${lay}-dir`];
  await mkdir(files);
  await writeFile(join(files, 'notes.txt'), 'mine');
  for (const path of [files, join(files, 'notes.txt')]) {
    const { error } = await rejection(copier.copy(`oci:${lay}`, `oci:${path}:1`));
    assert.equal(error.kind, 'usage');
  }
  assert.deepEqual(await readdir(files), ['notes.txt']);
  await copier.copy(`oci:${lay}`, `dir:${dir}`);
  const { error } = await rejection(copier.copy(`oci:${lay}`, `oci:${dir}:1`));
  assert.equal(error.code, 'ERR_DIR_NOT_EMPTY');
  const { text, error: notRead } = await rejection(copier.copy(`oci:${dir}`, `oci:${lay}:2`));
  assert.match(text, /has no oci-layout file/);
  assert.equal(notRead.hint, `it may be an image directory: dir:${dir}`);
});

test('a tree of links is read, as Bazel and Nix make them', async (t) => {
  const { lay, copier } = await openStage(t);
  const tree = `${lay}-tree`;
  await mkdir(join(tree, 'blobs/sha256'), { recursive: true });
  for (const path of await filesIn(lay)) await symlink(join(lay, path), join(tree, path));
  await copier.copy(`oci:${tree}`, `oci:${lay}-copy:1`);
  await assertHolds(`${lay}-copy`, ['1', image]);
  // A blob that is written takes the place of its link, not of the file that the link leads to.
  const path = join(lay, layoutBlobPath(blobInfo(layer).digest));
  await writeFile(path, 'damaged');
  await copier.copy(`oci:${lay}-copy:1`, `oci:${tree}:1`);
  assert.equal(await readFile(path, 'utf8'), 'damaged');
  assert.equal(await holdsBlobsOf(tree, image), true);
});

test('an index with only some of its images is read by platform', async (t) => {
  const arm = buildImage({ layers: [layer], platform: { os: 'linux', architecture: 'arm64' } });
  const index = buildIndex({
    images: [
      { image, platform: { os: 'linux', architecture: 'amd64' } },
      { image: arm, platform: { os: 'linux', architecture: 'arm64' } },
    ],
  });
  const { lay, copier } = await openStage(t);
  await writeLayout(lay, ['1', index]);
  await rm(join(lay, layoutBlobPath(arm.manifest.digest)));
  const { error } = await rejection(copier.copy(`oci:${lay}`, `oci:${lay}-copy`));
  assert.equal(error.kind, 'not-found');
  assert.match(error.hint ?? '', /--platform/);
  const platforms = [{ os: 'linux', architecture: 'amd64' }];
  const { digest } = await copier.copy(`oci:${lay}`, `oci:${lay}-copy`, { platforms });
  assert.equal(digest, image.manifest.digest);
});

test('a disk that runs full leaves the layout as it was, and keeps what is complete', async (t) => {
  const path = await mountSmall(t, 5 * 2 ** 20);
  if (path === undefined) return;
  const home = await openHome(t);
  const large = buildImage({ layers: { count: 4, size: 2 * 2 ** 20 } });
  const lay = join(path, 'lay');
  await writeLayout(lay, ['1', image]);
  await using registry = await startRegistry();
  registry.seed('app', 'large', large);
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    await using copier = new TestCopier(home);
    const { error } = await rejection(copier.copy(at(registry, 'app:large'), `oci:${lay}`));
    assert.equal(error.code, 'ERR_DISK_FULL');
    assert.match(error.hint ?? '', /free some space/);
    assert.deepEqual(await listedIn(lay), listing(['1', image]));
    assert.equal(await holdsBlobsOf(lay, image), true);
  }
});

test('a layout on a read-only file system cannot be made', async (t) => {
  const path = await mountReadOnly(t);
  if (path === undefined) return;
  const { lay, copier } = await openStage(t);
  const { error } = await rejection(copier.copy(`oci:${lay}`, `oci:${path}/lay:1`));
  assert.equal(error.code, 'ERR_NOT_WRITABLE');
});

test('the command ends with status 3 for what is not there, and 2 where it has to be told which', async (t) => {
  const { lay } = await openStage(t);
  await writeLayout(lay, ['1', image], ['2', other]);
  const env = { HOME: lay };
  const missing = await runImgcopy(['digest', `oci:${lay}:3`], { env });
  assert.equal(missing.status, 3, missing.stderr);
  assert.match(missing.stderr, /has no image named "3"; it has 1, 2/);
  const unclear = await runImgcopy(['digest', `oci:${lay}`], { env });
  assert.equal(unclear.status, 2, unclear.stderr);
  assert.match(unclear.stderr, /has several images: 1, 2\n {2}hint: name one of them: oci:.*lay:1/);
  const tags = await runImgcopy(['tags', `oci:${lay}`], { env });
  assert.equal(tags.stdout, '1\n2\n');
  const none = await runImgcopy(['tags', `oci:${lay}-none`], { env });
  assert.equal(none.status, 3);
  assert.doesNotMatch(none.stderr, /push/);
});
