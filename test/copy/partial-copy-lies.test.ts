import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  eStargzLayer,
  zstdChunkedLayer,
  type ChunkedLayer,
  type LayerFile,
  type TocEntryJson,
  type TocJson,
} from '../support/chunked-layers.ts';
import { buildImage, randomBytes, type TestImage } from '../support/images.ts';
import type { MultiRangeAnswer } from '../support/registry/options.ts';
import type { RequestRecord } from '../support/registry.ts';
import { assertCopied, assertNoWrongBlob, copyTo, openScene, type Scene } from './partial-copies.ts';

const kinds = ['registry', 'dir'] as const;
const writers = { 'zstd:chunked': zstdChunkedLayer, eStargz: eStargzLayer };

/** 1.5 MB in 48 files, of which the second version changes each eighth. */
function filesOf(version: number): readonly LayerFile[] {
  return Array.from({ length: 48 }, (_, index) => ({
    name: `file-${index}`,
    content: randomBytes(`${index} ${index % 8 === 0 ? version : 1}`, 32_000),
  }));
}

function imageOf({ bytes, info }: ChunkedLayer): TestImage {
  const { annotations, mediaType } = info;
  return buildImage({ layers: [bytes], layerAnnotations: [annotations], layerMediaType: mediaType });
}

type Edit = (toc: TocJson) => unknown;

/** Changes the entries that have content. */
function eachFile(change: (entry: TocEntryJson, index: number, files: readonly TocEntryJson[]) => TocEntryJson): Edit {
  return (toc) => {
    const files = toc.entries.filter(({ offset }) => offset !== undefined);
    const changed = new Map(files.map((entry, index) => [entry, change(entry, index, files)]));
    return { ...toc, entries: toc.entries.map((entry) => changed.get(entry) ?? entry) };
  };
}

const lies: Readonly<Record<string, Edit>> = {
  'offsets beyond the blob': eachFile((entry) => ({ ...entry, offset: 1e12, endOffset: 1e12 + 10 })),
  'negative offsets': eachFile((entry) => ({ ...entry, offset: -5, endOffset: -1 })),
  'offsets that are no numbers': eachFile((entry) => ({ ...entry, offset: '7', endOffset: {} })),
  'entries that overlap': eachFile((entry) => ({ ...entry, offset: 0, endOffset: 32_000 })),
  'entries out of order': (toc) => ({ ...toc, entries: toc.entries.toReversed() }),
  'digests of other files': eachFile((entry, index, files) => {
    const { digest, chunkDigest } = files[(index + 3) % files.length]!;
    return { ...entry, digest, chunkDigest };
  }),
  'one digest for all files': eachFile((entry, _index, [first]) => ({
    ...entry,
    digest: first!['digest'],
    chunkDigest: first!['chunkDigest'],
  })),
  'names that steer a terminal': eachFile((entry) => ({ ...entry, name: '\u001b[2J\u001b]0;owned\u0007' })),
  'a great many entries': (toc) => ({
    ...toc,
    entries: [...toc.entries, ...Array.from({ length: 30_000 }, () => ({ type: 'dir', name: 'd' }))],
  }),
  'no entries': (toc) => ({ ...toc, entries: [] }),
  'no JSON': () => 'not at all',
  'JSON without an end': () => `{"version":1,"entries":${'['.repeat(100_000)}`,
  'a bomb': () => `{"version":1,"entries":[${' '.repeat(54_000_000)}]}`,
};

for (const [format, writeLayer] of Object.entries(writers)) {
  const [honest, next] = [imageOf(writeLayer(filesOf(1))), imageOf(writeLayer(filesOf(3)))];

  test(`a ${format} layer that does not lie is built from pieces`, async (t) => {
    const scene = await openScene(t);
    for (const version of [1, 2]) {
      scene.from.seed('app', `${version}`, imageOf(writeLayer(filesOf(version))));
      const { blobs } = await copyTo('dir', scene, `${version}`);
      assert.equal(blobs.partial, version - 1);
    }
  });

  for (const [lie, editToc] of Object.entries(lies)) {
    test(`a ${format} layer whose table of contents has ${lie} comes right all the same`, async (t) => {
      const lying = imageOf(writeLayer(filesOf(2), { editToc }));
      // What takes its time is not read by the destination, so one of them will do.
      for (const kind of /bomb|many/.test(lie) ? (['dir'] as const) : kinds) {
        const scene = await openScene(t);
        // The layer that lies is the new one, then the old one.
        for (const [tag, image] of Object.entries({ honest, lying, next })) {
          scene.from.seed('app', tag, image);
          await copyTo(kind, scene, tag);
          await assertCopied(kind, scene, image);
        }
      }
    });
  }
}

test('annotations of another layer do no harm', async (t) => {
  const [v1, v2] = [zstdChunkedLayer(filesOf(1)), zstdChunkedLayer(filesOf(2))];
  const other = eStargzLayer(filesOf(5));
  for (const annotations of [v1.info.annotations, other.info.annotations]) {
    const image = imageOf({ ...v2, info: { ...v2.info, annotations } });
    for (const kind of kinds) {
      const scene = await openScene(t);
      scene.from.seed('app', '1', imageOf(v1));
      scene.from.seed('app', '2', image);
      await copyTo(kind, scene, '1');
      await copyTo(kind, scene, '2');
      await assertCopied(kind, scene, image);
    }
  }
});

const [v1, v2] = [imageOf(zstdChunkedLayer(filesOf(1))), imageOf(zstdChunkedLayer(filesOf(2)))];

async function withV1(kind: (typeof kinds)[number], scene: Scene): Promise<void> {
  scene.from.seed('app', '1', v1);
  scene.from.seed('app', '2', v2);
  await copyTo(kind, scene, '1');
}

const isRanged = ({ range }: RequestRecord): boolean => range !== undefined;

for (const kind of kinds) {
  const multipartLies: readonly MultiRangeAnswer[] = ['missing-part', 'extra-part', 'short-part', 'wrong-part-range'];
  for (const multiRange of multipartLies) {
    test(`an answer with a ${multiRange}, from either side, is not believed, into a ${kind}`, async (t) => {
      for (const lying of ['from', 'to'] as const) {
        const scene = await openScene(t, { [lying]: { multiRange } });
        await withV1(kind, scene);
        await copyTo(kind, scene, '2');
        await assertCopied(kind, scene, v2);
      }
    });
  }

  test(`ranges with wrong bytes are not published, and the whole layer follows, into a ${kind}`, async (t) => {
    const scene = await openScene(t);
    await withV1(kind, scene);
    scene.from.behave({ match: { when: isRanged }, wrongBytes: true });
    await copyTo(kind, scene, '2');
    await assertCopied(kind, scene, v2);
  });

  test(`a source that gives nothing but wrong bytes ends the copy, into a ${kind} (behaviour 14)`, async (t) => {
    const scene = await openScene(t);
    await withV1(kind, scene);
    scene.from.behave({ match: { path: /blobs/ }, wrongBytes: true });
    await assert.rejects(copyTo(kind, scene, '2'), { kind: 'integrity' });
    await scene.to.idle();
    await assertNoWrongBlob(kind, scene);
    assert.deepEqual(scene.to.sessions, []);
  });

  test(`a Content-Range of other bytes is not believed, into a ${kind}`, async (t) => {
    const scene = await openScene(t);
    await withV1(kind, scene);
    scene.from.behave({ contentRange: (range) => range.replace(/\/\d+$/, '/9999999') });
    await assert.rejects(copyTo(kind, scene, '2'), { code: 'ERR_WRONG_RANGE', kind: 'integrity' });
    await assertNoWrongBlob(kind, scene);
  });
}

test('files of garbage in the place of cache and state are set aside', async (t) => {
  const scene = await openScene(t);
  const image = buildImage({ layers: [randomBytes('large', 17 * 1024 * 1024)] });
  scene.from.seed('app', '1', image);
  const state = join(scene.home, 'state/imgcopy');
  const cache = join(scene.home, 'cache/imgcopy');
  const garbage = 'this is no database, and never was one. '.repeat(200);
  for (const directory of [state, cache]) await mkdir(directory, { recursive: true });
  await writeFile(join(state, 'uploads.sqlite'), garbage);
  await writeFile(join(state, 'uploads.sqlite-0123456789abcdef.lock'), garbage);
  await writeFile(join(cache, 'blob-info-cache-v1.sqlite'), garbage);
  await copyTo('registry', scene, '1');
  await assertCopied('registry', scene, image);
  assert.ok((await readdir(state)).includes('uploads.sqlite.corrupt'));
});
