import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { openArchiveFile } from '../../../src/transports/archive/archive-file.ts';
import { ArchiveStream } from '../../../src/transports/archive/archive-stream.ts';
import type { Archive } from '../../../src/transports/archive/archive.ts';
import { openImage, type ArchiveForm } from '../../../src/transports/archive/archive-form.ts';
import { ArchiveSource } from '../../../src/transports/archive/archive-source.ts';
import { MAX_MEMBERS } from '../../../src/transports/archive/read-members.ts';
import { buildImage, tarGzLayer, type TestImage } from '../../support/images.ts';
import {
  dockerSave,
  layoutBlobs,
  layoutFiles,
  ociArchive,
  tarBlocks,
  tarOf,
  temporaryFolder,
  type RawMember,
} from './archives.ts';

const layer = tarGzLayer({ hello: 'hello' });
const image = buildImage({ layers: [layer] });
const files = layoutFiles([['v1', image]]);
const blobs = layoutBlobs(image);
const evil = Buffer.from('evil');

interface Hostile {
  readonly archive: Buffer;
  readonly form?: ArchiveForm;
  readonly error: { readonly code: string; readonly message?: RegExp };
}

const invalid = (message: RegExp): Hostile['error'] => ({ code: 'ERR_INVALID_ARCHIVE', message });
const of = (...members: readonly RawMember[]): Buffer => tarOf(members);
const without = (members: readonly RawMember[], name: string): readonly RawMember[] =>
  members.filter((one) => one.name !== name);
const layerPath = blobs.at(-1)!.name;

const hostile: Readonly<Record<string, Hostile>> = {
  'a name with ..': {
    archive: of({ name: '../../etc/passwd', bytes: evil }, ...files, ...blobs),
    error: invalid(/a member outside of the archive: "..\/..\/etc\/passwd"/),
  },
  'a name with .. in the middle': {
    archive: of({ name: 'blobs/../../x', bytes: evil }, ...files, ...blobs),
    error: invalid(/outside of the archive/),
  },
  'an absolute name': {
    archive: of({ name: '/etc/passwd', bytes: evil }, ...files, ...blobs),
    error: invalid(/outside of the archive: "\/etc\/passwd"/),
  },
  'an index that is a link to a file of the machine': {
    archive: of({ name: 'index.json', type: '2', linkName: '/etc/passwd' }, ...without(files, 'index.json'), ...blobs),
    error: invalid(/is a link to "\/etc\/passwd", which is not a file in the archive/),
  },
  'a blob that is a link out of the archive': {
    archive: of(...files, ...without(blobs, layerPath), {
      name: layerPath,
      type: '2',
      linkName: '../../../etc/passwd',
    }),
    error: invalid(/is a link to ".*etc\/passwd", which is not a file in the archive/),
  },
  'links in a circle': {
    archive: of(
      ...files,
      ...without(blobs, layerPath),
      { name: layerPath, type: '2', linkName: 'b' },
      {
        name: 'blobs/sha256/b',
        type: '2',
        linkName: layerPath.split('/')[2]!,
      },
    ),
    error: invalid(/is a link to/),
  },
  'a sparse file of GNU tar': {
    archive: of(...files, ...without(blobs, layerPath), { name: layerPath, type: 'S', bytes: layer }),
    error: invalid(/is not a regular file/),
  },
  'a sparse file of pax': {
    archive: of(...files, ...without(blobs, layerPath), {
      name: layerPath,
      bytes: layer,
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' },
    }),
    error: invalid(/is not a regular file/),
  },
  'a device': {
    archive: of(...files, ...without(blobs, layerPath), { name: layerPath, type: '3' }),
    error: invalid(/is not a regular file/),
  },
  'a size of more than there is': {
    archive: of(...files, ...blobs, { name: 'blobs/sha256/last', size: 8_000_000_000 }),
    error: invalid(/ends too early/),
  },
  'a size of more than there is, in a pax header': {
    archive: of(...files, ...blobs, { name: 'blobs/sha256/last', bytes: evil, pax: { size: '900719925474099' } }),
    error: invalid(/ends too early/),
  },
  'a blob of another size than its descriptor': {
    archive: of(...files, ...without(blobs, layerPath), { name: layerPath, bytes: layer.subarray(1) }),
    error: { code: 'ERR_CONTENT_MISMATCH', message: /wrong size: expected \d+ bytes, found \d+ bytes/ },
  },
  'two indexes': {
    archive: of(...files, ...files, ...blobs),
    error: invalid(/has two members "index.json"/),
  },
  'an index that names a manifest which is not there': {
    archive: of(...files, ...without(blobs, layoutBlobPath(image.manifest.digest))),
    error: { code: 'ERR_MANIFEST_NOT_FOUND', message: /is missing manifest sha256:/ },
  },
  'a manifest that names a layer which is not there': {
    archive: of(...files, ...without(blobs, layerPath)),
    error: { code: 'ERR_BLOB_NOT_FOUND', message: /is missing blob sha256:.*: there is no member blobs\/sha256/ },
  },
  'a manifest of other bytes than its digest': {
    archive: of(...files, ...blobs.map((one) => (one.name === blobs[0]!.name ? { ...one, bytes: blank(one) } : one))),
    error: { code: 'ERR_INVALID_MANIFEST' },
  },
  'a manifest.json that names what is not there': {
    archive: of(...without(dockerSave(image, ['app:v1']), dockerSave(image, []).at(-3)!.name)),
    form: 'docker',
    error: invalid(/lacks ".*\.json", which manifest.json names/),
  },
  'a manifest.json that leads out of the archive': {
    archive: of({
      name: 'manifest.json',
      bytes: Buffer.from(JSON.stringify([{ Config: '../../../etc/passwd', RepoTags: [], Layers: [] }])),
    }),
    form: 'docker',
    error: invalid(/lacks "..\/..\/..\/etc\/passwd"/),
  },
  'a manifest.json that is no list': {
    archive: of({ name: 'manifest.json', bytes: Buffer.from('{}') }),
    form: 'docker',
    error: invalid(/manifest.json in archive is invalid/),
  },
  'a manifest.json of 5 MB': {
    archive: of({ name: 'manifest.json', bytes: Buffer.alloc(5 * 1024 * 1024) }),
    form: 'docker',
    error: invalid(/has 5242880 bytes, more than 4194304/),
  },
  'an index.json of 5 MB': {
    archive: of({ name: 'index.json', bytes: Buffer.alloc(5 * 1024 * 1024) }),
    error: { code: 'ERR_INVALID_MANIFEST', message: /index.json has 5242880 bytes/ },
  },
  'a header with a wrong checksum': {
    archive: Buffer.concat([of(...files).subarray(0, -1024), Buffer.alloc(512, 1), of(...blobs)]),
    error: invalid(/is not a valid tar archive/),
  },
  'a header that claims to be 1 GB long': {
    archive: of({ name: 'x', type: 'x', size: 1024 ** 3 }, ...files, ...blobs),
    error: invalid(/is not a valid tar archive/),
  },
  'a gzipped archive': { archive: gzipSync(of(...files, ...blobs)), error: invalid(/is not a valid tar archive/) },
};

for (const [what, { archive, form = 'oci', error }] of Object.entries(hostile)) {
  test(`is refused, as a file and as a stream: ${what}`, async (t) => {
    await assert.rejects(readAll(await asFile(t, archive), form), error);
    await assert.rejects(readAll(asStream(archive), form), error);
  });
}

test('an archive that is cut anywhere is read whole or refused, as a file and as a stream', async (t) => {
  const whole = tarOf(ociArchive(image, 'v1'));
  const folder = await temporaryFolder(t);
  const path = join(folder, 'cut.tar');
  const outcomes = new Set<string>();
  const lengths = Array.from({ length: whole.length + 1 }, (_, length) => length);
  for (const length of lengths.filter((one) => one % 61 === 0 || (one + 2) % 512 < 5)) {
    const cut = whole.subarray(0, length);
    await writeFile(path, cut);
    for (const archive of [() => openPath(path), () => Promise.resolve(asStream(cut))]) {
      const outcome = await readAll(archive(), 'oci').then(
        () => 'whole',
        (error: unknown) => (error instanceof ImgcopyError ? error.code : Promise.reject(error as Error)),
      );
      outcomes.add(outcome);
      // A stream whose last member, oci-layout, is missing has all of the image.
      const isComplete = length >= whole.length - 1024 || (length % 512 === 0 && length >= whole.length - 4 * 512);
      if (outcome === 'whole') assert.ok(isComplete, `${length} of ${whole.length} bytes passed for the whole`);
    }
  }
  assert.deepEqual([...outcomes].toSorted(), ['ERR_INVALID_ARCHIVE', 'ERR_NOT_AN_IMAGE', 'whole']);
});

test('ten million members are given up after some, without memory for them', async (t) => {
  const one = tarBlocks({ name: 'x' });
  async function* endless(): AsyncGenerator<Buffer> {
    const many = Buffer.concat(Array.from({ length: 128 }, (_, at) => tarBlocks({ name: `member-${at}` })));
    for (let made = 0; made < 10_000_000; made += 128) yield many;
    yield one;
  }
  const before = process.memoryUsage().rss;
  await using archive = new ArchiveStream(Readable.from(endless(), { objectMode: false }), 'archive');
  await assert.rejects(archive.names(), {
    code: 'ERR_INVALID_ARCHIVE',
    message: new RegExp(`more than ${MAX_MEMBERS} members`),
  });
  const grown = (process.memoryUsage().rss - before) / 1024 ** 2;
  assert.ok(grown < 160, `${grown} MB more are in memory`);
  t.diagnostic(`${Math.round(grown)} MB`);
});

test('what follows an image in a stream is read to its end, for its writer to succeed', async () => {
  let isAllRead = false;
  async function* members(): AsyncGenerator<Buffer> {
    yield of(...files, ...blobs).subarray(0, -1024);
    for (let more = 0; more < 100; more++) yield tarBlocks({ name: `more-${more}`, bytes: Buffer.alloc(100_000) });
    yield of();
    isAllRead = true;
  }
  await readAll(new ArchiveStream(Readable.from(members(), { objectMode: false }), 'archive'), 'oci');
  assert.ok(isAllRead);
});

test('a member of many gigabytes is skipped without being read', async (t) => {
  const path = join(await temporaryFolder(t), 'large.tar');
  const size = 7 * 1024 ** 3;
  const head = tarBlocks({ name: 'blobs/sha256/large', size });
  await writeFile(path, head);
  await truncate(path, head.length + size);
  await using file = await open(path, 'a');
  await file.write(tarOf([...files, ...blobs]));
  let read = 0;
  const handle = await open(path, 'r');
  const counted = new Proxy(handle, {
    get: (target, key) => {
      const value = Reflect.get(target, key) as unknown;
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const result = (await Reflect.apply(value, target, args)) as { readonly bytesRead?: number } | undefined;
        read += result?.bytesRead ?? 0;
        return result;
      };
    },
  });
  await using archive = await openArchiveFile({ handle: counted, path, reference: 'archive' });
  assert.ok(archive.has('index.json'));
  assert.ok(read < 1024 ** 2, `${read} bytes were read`);
});

test('nothing of an archive is written under a name that it gives', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'a.tar');
  await writeFile(
    path,
    of({ name: 'x/y', bytes: evil }, { name: 'z', type: '2', linkName: 'x/y' }, ...files, ...blobs),
  );
  await readAll(openPath(path), 'oci');
  assert.deepEqual(await readdir(folder), ['a.tar']);
});

function blank({ bytes = Buffer.alloc(0) }: RawMember): Buffer {
  return Buffer.alloc(bytes.length, ' ');
}

async function asFile(t: TestContext, bytes: Buffer): Promise<() => Promise<Archive>> {
  const path = join(await temporaryFolder(t), 'a.tar');
  await writeFile(path, bytes);
  return () => openPath(path);
}

async function openPath(path: string): Promise<Archive> {
  return await openArchiveFile({ handle: await open(path, 'r'), path, reference: 'archive' });
}

function asStream(bytes: Buffer): Archive {
  const packets = Array.from({ length: Math.ceil(bytes.length / 700) }, (_, at) =>
    bytes.subarray(at * 700, (at + 1) * 700),
  );
  return new ArchiveStream(Readable.from(packets, { objectMode: false }), 'archive');
}

/** Reads the image and all its blobs, as a copy would. */
async function readAll(
  opening: Archive | Promise<Archive> | (() => Promise<Archive>),
  form: ArchiveForm,
): Promise<TestImage['manifest']> {
  const archive = await (typeof opening === 'function' ? opening() : opening);
  try {
    const found = await openImage(form, archive, {}, { onWarning: () => undefined });
    const source = new ArchiveSource(archive, found, 'archive');
    const manifest = await source.getManifest();
    const { config, layers } = JSON.parse(manifest.bytes.toString()) as { config: Blob_; layers: Blob_[] };
    for (const { digest, size } of [...layers, config]) {
      const { stream } = await source.getBlob({ digest: digest as `sha256:${string}`, size });
      const hash = createHash('sha256').update(await buffer(stream));
      assert.equal(`sha256:${hash.digest('hex')}`, digest);
    }
    await source.finish();
    return manifest;
  } finally {
    await archive[Symbol.asyncDispose]();
  }
}

interface Blob_ {
  readonly digest: string;
  readonly size: number;
}
