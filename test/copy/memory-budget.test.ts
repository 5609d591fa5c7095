import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { noCache } from '../../src/cache/no-cache.ts';
import { copyImage } from '../../src/copy/copy-image.ts';
import { MemoryBudget } from '../../src/io/memory.ts';
import { zstdChunkedLayer } from '../support/chunked-layers.ts';
import { fakeRun } from '../support/fakes.ts';
import { buildImage, randomBytes, type TestImage } from '../support/images.ts';
import { destinationAt, openAccess, sourceAt } from '../support/registry-transport.ts';
import { startRegistry } from '../support/registry.ts';
import { assertCopied, copyTo, openScene } from './partial-copies.ts';

const MiB = 1024 * 1024;
const timeout = 60_000;

/** Half of the files are those of every version. */
function chunkedLayer(seed: string, bytes: number, version = ''): ReturnType<typeof zstdChunkedLayer> {
  const files = Array.from({ length: Math.max(1, Math.round(bytes / 250_000)) }, (_, index) => ({
    name: `file-${index}`,
    content: randomBytes(`${seed} ${index} ${index % 2 === 0 ? version : 0}`, 250_000),
  }));
  return zstdChunkedLayer(files);
}

const plainLayers = Array.from({ length: 16 }, (_, index) => randomBytes(`new ${index}`, 3 * MiB));

for (const kind of ['registry', 'dir'] as const) {
  test(
    `plain layers replace chunked ones, however many have been fetched before, in a ${kind}`,
    { timeout },
    async (t) => {
      const chunked = plainLayers.map((_, index) => chunkedLayer(`old ${index}`, 1.5 * MiB));
      const old = buildImage({
        layers: chunked.map(({ bytes }) => bytes),
        layerAnnotations: chunked.map(({ info }) => info.annotations),
        layerMediaType: chunked[0]!.info.mediaType,
      });
      const plain = buildImage({ layers: plainLayers });
      const scene = await openScene(t);
      scene.from.seed('app', '1', old);
      scene.from.seed('app', '2', plain);
      await copyTo(kind, scene, '1');
      // Slow enough for every blob to be on its way at a time.
      for (const registry of [scene.from, scene.to]) registry.behave({ match: { path: /blobs/ }, latencyMs: 20 });
      await copyTo(kind, scene, '2');
      await assertCopied(kind, scene, plain);
    },
  );
}

interface Layer {
  readonly bytes: Buffer;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** Two versions each of layers that are chunked, with annotations or without, and of plain ones: below and above what is prefetched and ranged. */
const pairs: readonly (readonly [Layer, Layer])[] = [
  ...[1.2 * MiB, 2 * MiB, 6 * MiB].flatMap((bytes) => {
    const [one, two] = ['1', '2'].map((version) => chunkedLayer(`chunked ${bytes}`, bytes, version));
    const annotated = (layer: typeof one): Layer => ({ bytes: layer!.bytes, annotations: layer!.info.annotations });
    return [[annotated(one), annotated(two)] as const, [{ bytes: one!.bytes }, { bytes: two!.bytes }] as const];
  }),
  ...[10, 1000, 300_000, 1.5 * MiB, 3 * MiB, 5 * MiB, 17 * MiB].map((bytes) => {
    const [one, two] = ['1', '2'].map((version) => ({ bytes: randomBytes(`plain ${bytes} ${version}`, bytes) }));
    return [one!, two!] as const;
  }),
];

function imageOf(layers: readonly Layer[]): TestImage {
  return buildImage({
    layers: layers.map(({ bytes }) => bytes),
    layerAnnotations: layers.map(({ annotations }) => annotations),
  });
}

test(
  'a copy ends, whatever its blobs are, and those it replaces, and however little memory there is',
  { timeout },
  async (t) => {
    const [from, to] = [await startRegistry(), await startRegistry()];
    t.after(() => Promise.all([from.close(), to.close()]));
    const picks = fc.array(fc.tuple(fc.nat(pairs.length - 1), fc.nat(pairs.length - 1)), {
      minLength: 1,
      maxLength: 24,
    });
    const budgets = fc.oneof(fc.nat(100), fc.integer({ min: 1, max: 4 * MiB }), fc.integer({ min: 1, max: 24 * MiB }));
    let run = 0;
    await fc.assert(
      fc.asyncProperty(picks, budgets, async (picked, budget) => {
        run += 1;
        const image = imageOf(picked.map(([, pair]) => pairs[pair]![1]));
        from.seed('app', `${run}`, image);
        to.seed(`copy${run}`, 'latest', imageOf(picked.map(([pair]) => pairs[pair]![0])));
        const memory = new MemoryBudget(budget);
        await using access = openAccess();
        await using source = await sourceAt(access, from, `app:${run}`);
        await using destination = await destinationAt(access, to, `copy${run}:latest`);
        await copyImage({ ...fakeRun().run, source, destination, memory, openCache: () => Promise.resolve(noCache()) });
        assert.deepEqual(to.manifest(`copy${run}`, 'latest')?.bytes, image.manifest.bytes);
        assert.equal(memory.used, 0, 'all memory was given back');
      }),
      { numRuns: 15 },
    );
  },
);
