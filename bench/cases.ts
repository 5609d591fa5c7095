import { fileURLToPath } from 'node:url';
import { fasterThanPeers, nearPerfectPlan, overBareNode, peakMemory, withinPeers, type Goal } from './goals.ts';
import type { ImagePlan } from './images.ts';
import type { LocalForm } from './peers.ts';

/** An OCI layout with one image. */
export interface Layout {
  readonly layout: string;
}

export interface BenchCase {
  readonly name: string;
  readonly title: string;
  /** Which ends lie behind a slow link of 80 ms round trip and 12 MB/s a connection. */
  readonly longLine: 'both' | 'source' | 'none';
  /** Registries speak TLS, under names that are not loopback. Default: plain HTTP on 127.0.0.1. */
  readonly tls?: true;
  /** Code that an earlier run compiled is kept. Default: each run begins without. */
  readonly warm?: true;
  /** `imgcopy cache compile` has run where imgcopy is installed. Default: it has not. */
  readonly compiled?: true;
  readonly image: ImagePlan | Layout;
  /** What the destination holds under the tag before each run. Default: nothing. */
  readonly before?: 'the same' | Layout;
  /** Default `registry`. */
  readonly destination?: 'folder' | LocalForm | 'pipe';
  /** Default `registry`. What it is on the disk, imgcopy has written before. */
  readonly source?: LocalForm | 'pipe';
  /** Default: imgcopy and all peers that can do it. */
  readonly tools?: 'imgcopy' | 'with bare node' | 'with bare copy';
  /** Until all is on the disk: each tool is followed by `sync`, and so is what was written before. Default: until the tool ends. */
  readonly synced?: true;
  /** However many are asked for. Default: no limit. */
  readonly maxRounds?: number;
  readonly goal?: Goal;
}

const KB = 1e3;
const MB = 1e6;
const GB = 1e9;

/** What is measured, and what is wanted of it. With `quick`, the large layers are a tenth of their size. */
export function benchCases(options: { readonly quick: boolean }): readonly BenchCase[] {
  return plainCases(options).flatMap((one) => {
    const goal = TLS_GOALS[one.name];
    const both = goal === undefined ? [one] : [one, overTls(one, goal)];
    return COMPILED.includes(one.name) ? both.flatMap((each) => [each, afterCompile(each)]) : both;
  });
}

/** What is measured a second time with code that `imgcopy cache compile` made. */
const COMPILED: readonly string[] = ['nothing-to-do', 'five-layers', 'start-up'];

function afterCompile(one: BenchCase): BenchCase {
  return { ...one, name: `${one.name}-compiled`, title: `${one.title}, after cache compile`, compiled: true };
}

/** What is measured over TLS as well, and what is wanted there. */
const TLS_GOALS: Readonly<Record<string, Goal>> = {
  'nothing-to-do': fasterThanPeers(1.6),
  'five-layers': fasterThanPeers(2.2),
  'sixty-layers': fasterThanPeers(6.8),
  index: fasterThanPeers(3.5),
  'mixed-layers': fasterThanPeers(6.3),
  'one-large-layer': withinPeers(1),
  'start-up': overBareNode(90),
};

function overTls(one: BenchCase, goal: Goal): BenchCase {
  return { ...one, name: `${one.name}-tls`, title: `${one.title}, TLS`, tls: true, goal };
}

function plainCases({ quick }: { readonly quick: boolean }): readonly BenchCase[] {
  const large = quick ? 0.1 : 1;
  const fiveLayers: ImagePlan = { layers: layers(5, 100 * KB) };
  const mixedLayers: ImagePlan = { layers: [131 * MB, ...layers(8, 11 * MB)] };
  return [
    {
      name: 'nothing-to-do',
      title: 'slow link, nothing to do',
      longLine: 'both',
      image: fiveLayers,
      before: 'the same',
      goal: fasterThanPeers(1.2),
    },
    {
      name: 'five-layers',
      title: 'slow link, new image of 5 small layers',
      longLine: 'both',
      image: fiveLayers,
      goal: fasterThanPeers(2.2),
    },
    {
      name: 'sixty-layers',
      title: 'slow link, 60 layers of 100 KB',
      longLine: 'both',
      image: { layers: layers(60, 100 * KB) },
      goal: fasterThanPeers(6),
    },
    {
      name: 'index',
      title: 'slow link, index of 8 platforms, 48 layers of 0.5 MB',
      longLine: 'both',
      image: { platforms: 8, layers: layers(6, 0.5 * MB) },
      goal: fasterThanPeers(3.5),
    },
    {
      name: 'mixed-layers',
      title: 'slow link to the source, 219 MB in 9 layers, one of 131 MB',
      longLine: 'source',
      image: mixedLayers,
      goal: fasterThanPeers(6),
    },
    {
      name: 'to-folder',
      title: 'the same into a directory',
      longLine: 'source',
      image: mixedLayers,
      destination: 'folder',
      maxRounds: 1,
    },
    nextVersion('zstdchunked', 'zstd:chunked', 595_609),
    nextVersion('zstdchunked-old', 'zstd:chunked of old writers', 581_928),
    nextVersion('estargz', 'eStargz', 915_562),
    {
      name: 'one-large-layer',
      title: `loopback, one layer of ${large} GB`,
      longLine: 'none',
      image: { layers: [large * GB] },
      goal: withinPeers(1.1),
    },
    ...localCases(large),
    {
      name: 'start-up',
      title: 'loopback, nothing to do',
      longLine: 'none',
      image: fiveLayers,
      before: 'the same',
      tools: 'with bare node',
      goal: overBareNode(60),
    },
    {
      name: 'start-up-warm',
      title: 'loopback, nothing to do, code compiled before',
      longLine: 'none',
      image: fiveLayers,
      before: 'the same',
      tools: 'with bare node',
      warm: true,
      goal: overBareNode(60),
    },
    {
      name: 'memory',
      title: `loopback, peak memory with one layer of ${10 * large} GB`,
      longLine: 'none',
      image: { layers: [10 * large * GB] },
      tools: 'imgcopy',
      maxRounds: 1,
      goal: peakMemory(160),
    },
  ];
}

const LOCAL_FORMS: readonly LocalForm[] = ['dir', 'oci', 'oci-archive', 'docker-archive'];

/** To and from each form on the disk, and through pipes. */
function localCases(gigabytes: number): readonly BenchCase[] {
  const image: ImagePlan = { layers: layers(4, (gigabytes * GB) / 4) };
  const common = { longLine: 'none', image, goal: withinPeers(1.1) } as const;
  const title = `loopback, 4 layers of ${gigabytes / 4} GB`;
  return [
    ...LOCAL_FORMS.flatMap((form): readonly BenchCase[] => [
      { ...common, name: `registry-to-${form}`, title: `${title}, into ${form}:`, destination: form },
      {
        ...common,
        name: `registry-to-${form}-synced`,
        title: `${title}, into ${form}:, until all is on the disk`,
        destination: form,
        synced: true,
      },
      { ...common, name: `${form}-to-registry`, title: `${title}, out of ${form}:`, source: form },
    ]),
    {
      ...common,
      name: 'archive-to-pipe',
      title: `${gigabytes} GB from oci-archive: to -, beside cat`,
      source: 'oci-archive',
      destination: 'pipe',
      tools: 'with bare copy',
    },
    {
      ...common,
      name: 'pipe-to-archive',
      title: `${gigabytes} GB from - to oci-archive:, beside cat`,
      source: 'pipe',
      destination: 'oci-archive',
      tools: 'with bare copy',
    },
  ];
}

/**
 * The second version of an image onto its first, by the images of test/fixtures.
 *
 * @param perfectBytes  what the missing pieces of the one changed layer weigh, with its table of contents: what nobody can do without.
 */
function nextVersion(format: string, title: string, perfectBytes: number): BenchCase {
  const layout = (version: string): Layout => ({
    layout: fileURLToPath(new URL(`../test/fixtures/images/${format}/${version}`, import.meta.url)),
  });
  return {
    name: `next-${format}`,
    title: `slow link to the source, next version in ${title}`,
    longLine: 'source',
    image: layout('v2'),
    before: layout('v1'),
    goal: nearPerfectPlan(1.05, perfectBytes),
  };
}

function layers(count: number, size: number): readonly number[] {
  return Array.from({ length: count }, () => size);
}
