import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { noCache } from '../../src/cache/no-cache.ts';
import type { BlobToCopy } from '../../src/copy/blob-to-copy.ts';
import type { CopyRun } from '../../src/copy/copy-run.ts';
import { digestOf } from '../../src/digest/digest.ts';
import { DEFAULT_RETRY_POLICY } from '../../src/retry/attempts.ts';
import { MemoryBudget } from '../../src/io/memory.ts';
import { Semaphore } from '../../src/io/semaphore.ts';
import type { BlobInfo, RawManifest } from '../../src/contract/blob-info.ts';
import type { ImageDestination } from '../../src/contract/image-destination.ts';
import type { ImageSource } from '../../src/contract/image-source.ts';
import type { CopyEvent } from '../../src/contract/progress.ts';
import type { TestImage } from './images.ts';
import { openRangeSupport } from './memory-accessor.ts';

/** A run whose two ends are objects in memory, and what it has done. */
export interface FakeRun {
  readonly run: CopyRun;
  /** The methods of source and destination in the order of their calls, those that only tell something left out. */
  readonly calls: string[];
  readonly events: CopyEvent[];
  /** Streams that the source gave, by `getBlob`. */
  readonly streams: Readable[];
  /** What the destination was given whole. */
  readonly stored: Map<string, Buffer>;
  readonly manifests: RawManifest[];
  /** What was waited for before retries, in ms. */
  readonly delays: number[];
}

export interface FakeRunOptions {
  readonly image?: TestImage | undefined;
  /** Beside those of the image. */
  readonly blobs?: readonly Buffer[] | undefined;
  readonly source?: Partial<ImageSource> | undefined;
  /** A method that is given still counts among the calls. */
  readonly destination?: Partial<ImageDestination> | undefined;
  readonly run?: Partial<CopyRun> | undefined;
}

/**
 * A source that has an image and blobs, and a destination that has nothing, takes whole blobs and builds none from pieces; with what a test
 * puts in the place of their methods.
 */
export function fakeRun(options: FakeRunOptions = {}): FakeRun {
  const { image, blobs = [] } = options;
  const calls: string[] = [];
  const events: CopyEvent[] = [];
  const streams: Readable[] = [];
  const delays: number[] = [];
  const stored = new Map<string, Buffer>();
  const manifests: RawManifest[] = [];
  const content = new Map([...(image?.blobs ?? []), ...blobs.map((bytes) => [digestOf(bytes), bytes] as const)]);

  const source: ImageSource = {
    reference: 'fake:source',
    concurrency: 'parallel',
    rangeSupport: openRangeSupport(),
    getManifestDigest: async () => image?.manifest.digest,
    getManifest: async ({ instanceDigest } = {}) => {
      const all = image === undefined ? [] : [image.manifest, ...image.instances];
      const found = all.find(({ digest }) => digest === (instanceDigest ?? image?.manifest.digest));
      if (found === undefined) throw new Error(`the source has no manifest ${instanceDigest}`);
      return found;
    },
    getBlobSize: async (digest) => content.get(digest)?.length ?? 0,
    getBlob: async ({ digest }) => {
      const bytes = content.get(digest) ?? Buffer.alloc(0);
      const stream = Readable.from(packetsOf(bytes), { objectMode: false });
      streams.push(stream);
      return { stream, size: bytes.length };
    },
    getBlobAt: () => {
      throw new Error('no part of a blob was expected to be asked for');
    },
    [Symbol.asyncDispose]: async () => undefined,
    ...options.source,
  };
  const destination: ImageDestination = {
    reference: 'fake:destination',
    repository: undefined,
    concurrency: 'parallel',
    acceptsForeignLayerUrls: true,
    currentManifest: async () => ({ state: 'absent' }),
    tryReusingBlobWithOptions: async () => ({ reused: false }),
    putBlobWithOptions: async (stream, { digest = 'sha256:' }) => {
      const bytes = Buffer.concat((await stream.toArray()) as Buffer[]);
      stored.set(digest, bytes);
      return { digest, size: bytes.length };
    },
    putManifest: async (manifest) => void manifests.push(manifest),
    commit: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
    ...options.destination,
  };
  const run: CopyRun = {
    source: noting(source, calls),
    destination: noting(destination, calls),
    cache: noCache(),
    pool: new Semaphore(16),
    memory: new MemoryBudget(1024 * 1024),
    policy: {
      ...DEFAULT_RETRY_POLICY,
      random: () => 1,
      sleep: async (ms) => {
        delays.push(ms);
        await nextTurn();
      },
    },
    partial: 'auto',
    substitute: false,
    includeForeign: false,
    removeSignatures: false,
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    ...options.run,
  };
  return { run, calls, events, streams, stored, manifests, delays };
}

/** A layer as the pipeline hands it to the ladder. */
export function layerOf(bytes: Buffer, { info, ...others }: LayerOverrides = {}): BlobToCopy {
  return {
    name: 'layer',
    isConfig: false,
    layerIndex: 0,
    platform: undefined,
    substitutable: undefined,
    ...others,
    info: { digest: digestOf(bytes), size: bytes.length, ...info },
  };
}

type LayerOverrides = Partial<Omit<BlobToCopy, 'info'>> & { readonly info?: Partial<BlobInfo> | undefined };

/** Methods that move something: the others only tell what is. */
const NOTED: ReadonlySet<string | symbol> = new Set([
  'begin',
  'getBlob',
  'getBlobAt',
  'getBlobSize',
  'getManifest',
  'tryReusingBlobWithOptions',
  'putBlobPartial',
  'putBlobWithOptions',
  'putBlobBytes',
  'putManifest',
  'putSignaturesWithFormat',
  'commit',
]);

function noting<T extends object>(end: T, calls: string[]): T {
  return new Proxy(end, {
    get(target, name, receiver): unknown {
      const member: unknown = Reflect.get(target, name, receiver);
      if (!NOTED.has(name) || typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        calls.push(String(name));
        return Reflect.apply(member, target, args);
      };
    },
  });
}

function* packetsOf(bytes: Buffer): Generator<Buffer> {
  const half = Math.ceil(bytes.length / 2);
  if (bytes.length === 0) return;
  yield bytes.subarray(0, half);
  if (half < bytes.length) yield bytes.subarray(half);
}
