import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test, type TestContext } from 'node:test';
import { digestOf, type Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { localPlatform } from '../../../src/manifest/platform.ts';
import { readMembers } from '../../../src/transports/archive/read-members.ts';
import { createCliHome } from '../../support/imgcopy-command.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { at, openHome, TestCopier } from '../../library/test-copier.ts';
import { assertHoldsOnly } from '../dir/image-directory.ts';
import { layoutBlobs, layoutFiles, temporaryFolder, writeArchive, type RawMember } from './archives.ts';

const base = tarGzLayer({ base: randomBytes('base', 300_000) });
const runtime = tarGzLayer({ runtime: randomBytes('runtime', 200_000) });
const [first, second] = ['first', 'second'].map((name) => tarGzLayer({ [name]: randomBytes(name, 50_000) }));
const v1 = buildImage({ layers: [base, runtime, first!], platform: localPlatform() });
const v2 = buildImage({ layers: [base, runtime, second!], platform: localPlatform() });
const shared = [base, runtime].map((layer) => digestOf(layer));

interface Stage extends AsyncDisposable {
  readonly folder: string;
  readonly registry: TestRegistry;
  readonly copier: TestCopier;
  /** The path of an archive of what v2 has and v1 has not. */
  readonly delta: string;
}

/** A registry with both versions, and the delta between them. */
async function setUp(t: TestContext, form = 'oci-archive'): Promise<Stage> {
  const folder = await temporaryFolder(t);
  const registry = await startRegistry();
  registry.seed('app', 'v1', v1);
  registry.seed('app', 'v2', v2);
  const copier = new TestCopier(await openHome(t));
  const delta = join(folder, 'delta.tar');
  await copier.copy(at(registry, 'app:v2'), `${form}:${delta}`, { since: [at(registry, 'app:v1')] });
  return {
    folder,
    registry,
    copier,
    delta,
    async [Symbol.asyncDispose]() {
      await copier[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

test('a delta has all but the shared layers, and says in front of its index what it leaves out', async (t) => {
  await using stage = await setUp(t);
  const members = await membersOf(stage.delta);
  const present = [...v2.blobs.keys()].filter((digest) => !shared.includes(digest));
  assert.deepEqual(
    [...members.keys()],
    [
      'oci-layout',
      'imgcopy-delta.json',
      'index.json',
      layoutBlobPath(v2.manifest.digest),
      ...present.toSorted(byLayerFirst).map(layoutBlobPath),
    ],
  );
  assert.deepEqual(JSON.parse(String(members.get('imgcopy-delta.json'))), {
    version: 1,
    since: [`${at(stage.registry, 'app:v1')}@${v1.manifest.digest}`],
    missing: shared,
  });
  assert.ok((await stat(stage.delta)).size < second!.length + 20_000);
});

/** The config comes last. */
function byLayerFirst(one: Digest): number {
  return one === digestOf(second!) ? -1 : 1;
}

test('a delta is imported where its layers are: in a registry, a layout, a directory', async (t) => {
  for (const form of ['oci-archive', 'docker-archive']) {
    await using stage = await setUp(t, form);
    const { copier, registry, delta, folder } = stage;
    await using other = await startRegistry();
    for (const place of [at(other, 'app'), `oci:${join(folder, 'layout')}`, `dir:${join(folder, 'dir')}`]) {
      const [old, next] = place.startsWith('dir:') ? [place, place] : [`${place}:v1`, `${place}:v2`];
      await copier.copy(at(registry, 'app:v1'), old);
      const { digest, blobs } = await copier.copy(`${form}:${delta}`, next);
      assert.equal(digest, v2.manifest.digest);
      assert.deepEqual([blobs.reused, blobs.copied], [2, 2], place);
    }
    assert.equal(other.manifest('app', 'v2')?.digest, v2.manifest.digest);
    await copier.copy(`oci:${join(folder, 'layout')}:v2`, `dir:${join(folder, 'out')}`);
    await assertHoldsOnly(join(folder, 'out'), v2);
    await assertHoldsOnly(join(folder, 'dir'), v2);
  }
});

test('a layer that is left out is mounted from where the registry has it', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta } = stage;
  await using other = await startRegistry();
  await copier.copy(at(registry, 'app:v1'), at(other, 'team/app:v1'));
  const { blobs } = await copier.copy(`oci-archive:${delta}`, at(other, 'app:v2'));
  assert.deepEqual([blobs.mounted, blobs.copied], [2, 2]);
  assert.equal(other.manifest('app', 'v2')?.digest, v2.manifest.digest);
});

test('where the registry does not mount a layer that is left out, the copy says so, and no image is there', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta } = stage;
  await using other = await startRegistry({ mount: 'always-202' });
  await copier.copy(at(registry, 'app:v1'), at(other, 'team/app:v1'));
  const copying = copier.copy(`oci-archive:${delta}`, at(other, 'app:v2'));
  await assert.rejects(copying, { code: 'ERR_BLOB_NOT_FOUND', hint: /write the archive again without --since/ });
  assert.equal(other.manifest('app', 'v2'), undefined);
});

test('a delta from a named pipe is imported in one pass', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta, folder } = stage;
  await copier.copy(at(registry, 'app:v1'), `oci:${join(folder, 'layout')}:v1`);
  const copied = await throughPipe(stage, (pipe) =>
    copier.copy(`oci-archive:${pipe}`, `oci:${join(folder, 'layout')}:v2`),
  );
  assert.equal(copied.digest, v2.manifest.digest);
  const refused = throughPipe({ folder, delta }, (pipe) =>
    copier.copy(`oci-archive:${pipe}`, `oci:${join(folder, 'empty')}:v2`),
  );
  await assert.rejects(refused, { code: 'ERR_LEFT_OUT_BLOBS' });
  assert.ok(!(await readdir(folder)).includes('empty'));
});

async function throughPipe<T>(
  { folder, delta }: Pick<Stage, 'folder' | 'delta'>,
  copy: (pipe: string) => Promise<T>,
): Promise<T> {
  const pipe = join(folder, 'pipe');
  execFileSync('rm', ['-f', pipe]);
  execFileSync('mkfifo', [pipe]);
  const [copied, written] = await Promise.allSettled([
    copy(pipe),
    pipeline(createReadStream(delta), createWriteStream(pipe)),
  ]);
  if (copied.status === 'rejected') throw copied.reason;
  assert.equal(written.status, 'fulfilled');
  return copied.value;
}

test('where a layer is missing, the copy says which ones before it writes anything', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta, folder } = stage;
  await using other = await startRegistry();
  other.seed('app', 'base', buildImage({ layers: [base] }));
  for (const place of [at(other, 'app:v2'), `oci:${join(folder, 'layout')}:v2`, `dir:${join(folder, 'dir')}`]) {
    other.reset();
    const missing = place.startsWith('docker:') ? shared.slice(1) : shared;
    await assert.rejects(copier.copy(`oci-archive:${delta}`, place), (error: Error & Record<string, unknown>) => {
      assert.equal(error['code'], 'ERR_LEFT_OUT_BLOBS');
      assert.equal(error['kind'], 'not-found');
      assert.ok(error.message.endsWith(`so nothing was written: ${missing.join(', ')}`), error.message);
      const start = `copy ${at(registry, 'app:v1')}@${v1.manifest.digest} there first`;
      assert.ok(String(error['hint']).startsWith(start), String(error['hint']));
      return true;
    });
  }
  assert.equal(
    ['POST', 'PUT', 'PATCH'].reduce((sum, method) => sum + other.count({ method }), 0),
    0,
  );
  assert.deepEqual((await readdir(folder)).toSorted(), ['delta.tar']);
});

test('the command ends with status 3 where a layer is missing, and with 2 where no archive is written', async (t) => {
  await using stage = await setUp(t);
  const { registry, delta, folder } = stage;
  await using home = await createCliHome();
  await using other = await startRegistry();
  const missing = await home.run([`oci-archive:${delta}`, `${other.host}/app:v2`]);
  assert.deepEqual([missing.status, missing.stdout], [3, '']);
  assert.match(missing.stderr, /^ {2}hint: copy docker:\S+\/app:v1@sha256:\w+ there first, .*\[ERR_LEFT_OUT_BLOBS\]$/m);
  const since = ['--since', `${registry.host}/app:v1`];
  for (const place of [`${other.host}/app:v2`, `oci:${join(folder, 'layout')}`, `dir:${join(folder, 'dir')}`]) {
    const run = await home.run([...since, `${registry.host}/app:v2`, place]);
    assert.equal(run.status, 2, place);
    assert.match(run.stderr, /--since is for archives, and \S+ is none/);
    assert.match(run.stderr, /hint: leave out --since, .*oci-archive:FILE/);
  }
  assert.deepEqual(await readdir(folder), ['delta.tar']);
  const made = await home.run([...since, `${registry.host}/app:v2`, `oci-archive:${join(folder, 'made.tar')}:v2`]);
  assert.equal(made.status, 0, made.stderr);
  assert.ok((await membersOf(join(folder, 'made.tar'))).has('imgcopy-delta.json'));
});

test('what is there already may be named as a layout, an archive, a delta, and more than once', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta, folder } = stage;
  const v3 = buildImage({ layers: [base, runtime, second!, first!], platform: localPlatform() });
  registry.seed('app', 'v3', v3);
  const [layout, archive] = [`oci:${join(folder, 'layout')}:v1`, `docker-archive:${join(folder, 'v1.tar')}`];
  await copier.copy(at(registry, 'app:v1'), layout);
  await copier.copy(at(registry, 'app:v1'), archive);
  const path = join(folder, 'v3.tar');
  const added = async (since: readonly string[]): Promise<readonly Digest[]> => {
    await copier.copy(at(registry, 'app:v3'), `oci-archive:${path}`, { since });
    const members = await membersOf(path);
    return [base, runtime, first!, second!]
      .map((layer) => digestOf(layer))
      .filter((d) => members.has(layoutBlobPath(d)));
  };
  assert.deepEqual(await added([layout]), [digestOf(second!)]);
  assert.deepEqual(await added([archive]), [digestOf(second!)]);
  assert.deepEqual(await added([`oci-archive:${delta}`]), [digestOf(first!)]);
  assert.deepEqual(await added([layout, `oci-archive:${delta}`]), []);
  await assert.rejects(added([at(registry, 'app:none')]), { kind: 'not-found' });
});

test('an archive of an image that shares nothing is whole, and a warning says so', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, folder } = stage;
  registry.seed('app', 'new', buildImage({ layers: [tarGzLayer({ new: 'new' })] }));
  const path = join(folder, 'new.tar');
  await copier.copy(at(registry, 'app:new'), `oci-archive:${path}`, { since: [at(registry, 'app:v1')] });
  assert.ok(!(await membersOf(path)).has('imgcopy-delta.json'));
  assert.match(String(copier.warnings), /is a whole image: it shares no layer with docker:\S+app:v1@sha256/);
});

test('the same delta is not written again, and neither is a whole archive taken for it', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta } = stage;
  const since = [at(registry, 'app:v1')];
  const to = `oci-archive:${delta}`;
  assert.equal((await copier.copy(at(registry, 'app:v2'), to, { since })).skipped, 'same');
  assert.equal((await copier.copy(at(registry, 'app:v2'), to)).skipped, null);
  assert.ok((await membersOf(delta)).has(layoutBlobPath(shared[0]!)), 'a delta is no whole archive');
  assert.equal((await copier.copy(at(registry, 'app:v2'), to, { since })).skipped, null);
  assert.ok(!(await membersOf(delta)).has(layoutBlobPath(shared[0]!)));
});

test('of an index, the layers of all its images are left out, or of those that are asked for', async (t) => {
  const folder = await temporaryFolder(t);
  await using registry = await startRegistry();
  await using copier = new TestCopier(await openHome(t));
  const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
  const [one, two] = ['one', 'two'].map((name) => tarGzLayer({ [name]: randomBytes(name, 50_000) }));
  const indexOf = (more: readonly Buffer[]): TestImage =>
    buildIndex({
      images: [
        { image: buildImage({ layers: [one!, ...more], platform: amd64! }), platform: amd64! },
        { image: buildImage({ layers: [two!, ...more], platform: arm64! }), platform: arm64! },
      ],
    });
  registry.seed('app', 'v1', indexOf([]));
  registry.seed('app', 'v2', indexOf([base]));
  const path = join(folder, 'delta.tar');
  const since = [at(registry, 'app:v1')];
  await copier.copy(at(registry, 'app:v2'), `oci-archive:${path}`, { since });
  const all = await membersOf(path);
  assert.deepEqual(
    [one!, two!, base].map((layer) => all.has(layoutBlobPath(digestOf(layer)))),
    [false, false, true],
  );
  registry.seed('app', 'v1', buildImage({ layers: [two!], platform: arm64! }));
  await copier.copy(at(registry, 'app:v2'), `oci-archive:${path}`, { since, platforms: [amd64!, arm64!] });
  const some = await membersOf(path);
  assert.deepEqual(
    [one!, two!, base].map((layer) => some.has(layoutBlobPath(digestOf(layer)))),
    [true, false, true],
  );
});

test('credentials for the source are not sent to the registry of another image', async (t) => {
  await using stage = await setUp(t);
  const { copier, registry, delta } = stage;
  await using other = await startRegistry();
  other.seed('app', 'v1', v1);
  const copying = copier.copy(at(registry, 'app:v2'), `oci-archive:${delta}`, {
    since: [at(other, 'app:v1')],
    source: { username: 'ann', password: 'secret' },
  });
  await assert.rejects(copying, { code: 'ERR_SECRET_FOR_SEVERAL', side: 'source' });
  assert.equal(other.requests.length, 0);
});

test('-n leaves an image that exists, whether or not it has the layers', async (t) => {
  await using stage = await setUp(t);
  const { copier, delta } = stage;
  await using other = await startRegistry();
  const image = buildImage({ layers: [tarGzLayer({ other: 'other' })] });
  other.seed('app', 'v2', image);
  const { skipped, digest } = await copier.copy(`oci-archive:${delta}`, at(other, 'app:v2'), { noClobber: true });
  assert.deepEqual([skipped, digest], ['exists', image.manifest.digest]);
});

test('an invalid list of what is left out is refused', async (t) => {
  const folder = await temporaryFolder(t);
  await using copier = new TestCopier(await openHome(t));
  const content: readonly RawMember[] = [...layoutFiles([['v2', v2]]), ...layoutBlobs(v2)];
  for (const [mark, message] of [
    ['no JSON', /imgcopy-delta\.json in \S+ is invalid/],
    ['{"version":1,"missing":["../../etc"]}', /is invalid/],
    ['{"version":2}', /has version "2", expected 1/],
    [' '.repeat(5_000_000), /has 5000000 bytes/],
  ] as const) {
    const path = await writeArchive(t, [{ name: 'imgcopy-delta.json', bytes: Buffer.from(mark) }, ...content]);
    const copying = copier.copy(`oci-archive:${path}`, `dir:${join(folder, 'out')}`);
    await assert.rejects(copying, (error: Error & Record<string, unknown>) => {
      assert.equal(error['code'], 'ERR_INVALID_ARCHIVE');
      assert.match(error.message, message);
      return true;
    });
  }
  assert.deepEqual(await readdir(folder), []);
});

async function membersOf(path: string): Promise<ReadonlyMap<string, Buffer>> {
  const members = new Map<string, Buffer>();
  for await (const { name, open } of readMembers(createReadStream(path), path)) members.set(name, await buffer(open()));
  return members;
}
