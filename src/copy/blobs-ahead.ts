import type { BlobAhead, ImageSource } from '../contract/image-source.ts';
import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { OneAtATime } from '../io/one-at-a-time.ts';
import { orAborted } from '../io/or-aborted.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import type { BlobToCopy, CopiedBlob, CopyBlobOptions } from './blob-to-copy.ts';
import { copyBlob } from './copy-blob.ts';
import type { CopyRun, PreparedRun } from './copy-run.ts';

/** More are not brought ahead: they wait for the manifest. */
const MAX_BLOBS_AHEAD = 1_000;

/** All of a copy's run but its source. */
export type RunAhead = Omit<PreparedRun, 'source'>;

export interface BlobsAheadOptions {
  /** Opens the destination, for the first blob. The signal is aborted when this is disposed of. */
  readonly open: (signal: AbortSignal) => Promise<RunAhead>;
  /** Whether the name that the image gets there is known by now. */
  readonly isNamed: boolean;
  /** See CopyImageOptions. */
  readonly noClobber?: boolean | undefined;
  /** See CopyImageOptions. */
  readonly force?: boolean | undefined;
  /** The source, for messages. */
  readonly reference: string;
  readonly signal: AbortSignal;
}

/**
 * Brings the layers of a stream to the destination while they come, before the manifest that names them. The copy takes from here what was brought, and
 * does not ask for it. What the image turns out not to have was sent for nothing.
 */
export class BlobsAhead implements AsyncDisposable {
  readonly #options: BlobsAheadOptions;
  readonly #underWay = new Map<Digest, UnderWay>();
  /** What the copy itself brings. */
  readonly #taken = new Set<Digest>();
  readonly #turns = new OneAtATime<'turn'>();
  readonly #ended = new AbortController();
  readonly #failed = new AbortController();
  /** Ends what is under way, and the opening of the destination. */
  readonly #signal: AbortSignal;
  #begun: Promise<Begun> | undefined;

  constructor(options: BlobsAheadOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#ended.signal]);
  }

  /** Brings a blob, unless it is under way. Does not wait for it. */
  add(blob: BlobAhead): void {
    const { digest, size } = blob;
    if (this.#underWay.has(digest) || this.#taken.has(digest) || this.#underWay.size >= MAX_BLOBS_AHEAD) return;
    const copying = this.#copy(blob);
    this.#underWay.set(digest, { size, copying });
    copying.catch((error: unknown) => {
      // What the destination refuses ends any copy. Wrong bytes do so only where the image has them.
      if (error instanceof ImgcopyError && error.side === 'destination') this.#failed.abort(error);
    });
  }

  /** Opens the source, which adds its blobs meanwhile. @throws at once, where the destination refuses one of them. */
  async whileOpening<T>(open: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const opening = new AbortController();
    const failed = this.#failed.signal;
    const onFailure = (): void => opening.abort(failed.reason);
    failed.addEventListener('abort', onFailure, { once: true });
    try {
      return await open(AbortSignal.any([this.#options.signal, opening.signal]));
    } catch (error) {
      throw failed.aborted ? failed.reason : error;
    } finally {
      failed.removeEventListener('abort', onFailure);
    }
  }

  /** Brings a blob of the image, unless that was done, or is being done. To be a run's `bringBlob`. */
  readonly bring = async (run: CopyRun, blob: BlobToCopy, options: CopyBlobOptions): Promise<CopiedBlob> => {
    if (options.isDoubted === true) return copyBlob(run, blob, options);
    // While a blob waits for its turn, the stream goes on, and may bring it here.
    const copied = this.#find(blob) ?? (await this.#turns.run('turn', () => this.#findOrCopy(run, blob, options)));
    return (await orAborted(copied.copying, run.signal)) ?? copyBlob(run, blob, options);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled([...this.#underWay.values()].map(({ copying }) => copying));
  }

  async #findOrCopy(run: CopyRun, blob: BlobToCopy, options: CopyBlobOptions): Promise<Pick<UnderWay, 'copying'>> {
    const found = this.#find(blob);
    if (found !== undefined) return found;
    this.#taken.add(blob.info.digest);
    const copied = await copyBlob(run, blob, options);
    return { copying: Promise.resolve(copied) };
  }

  /** One of another size is not what the manifest means. */
  #find({ info: { digest, size } }: BlobToCopy): UnderWay | undefined {
    const found = this.#underWay.get(digest);
    return found?.size === size ? found : undefined;
  }

  async #copy(blob: BlobAhead): Promise<CopiedBlob | undefined> {
    const { reference } = this.#options;
    const { digest, size } = blob;
    const { run, present } = await (this.#begun ??= this.#begin());
    if (run === undefined || present.has(digest)) return undefined;
    const own: CopyRun = {
      ...run,
      source: sourceOf(blob, reference),
      cache: await run.openCache(),
      signal: this.#signal,
    };
    return copyBlob(own, { ...A_LAYER, info: { digest, size } });
  }

  async #begin(): Promise<Begun> {
    const { open, isNamed, noClobber, force } = this.#options;
    const run = await open(this.#signal);
    if (noClobber && !(isNamed && (await isFree(run)))) return { run: undefined, present: new Set() };
    return { run, present: isNamed && !force ? await namedBy(run) : new Set() };
  }
}

interface UnderWay {
  /** In bytes. */
  readonly size: number;
  /** Undefined where the blob is left to the copy. */
  readonly copying: Promise<CopiedBlob | undefined>;
}

interface Begun {
  /** Undefined where all blobs are left to the copy, for there may be nothing to do. */
  readonly run: RunAhead | undefined;
  /** What the destination has most likely. It is left to the copy: where the image is there already, nothing has to be asked. */
  readonly present: ReadonlySet<Digest>;
}

async function isFree({ destination, signal }: RunAhead): Promise<boolean> {
  return (await destination.currentManifest({ digestOnly: true, signal })).state === 'absent';
}

async function namedBy({ destination, signal }: RunAhead): Promise<ReadonlySet<Digest>> {
  const presence = await destination.currentManifest({ signal });
  const { bytes, mediaType } = presence.state === 'present' ? presence.manifest : {};
  const manifest = bytes && parseManifest(bytes, mediaType);
  if (manifest === undefined || manifest.kind === 'index') return new Set();
  return new Set(manifest.layers.map(({ digest }) => digest));
}

const A_LAYER = {
  name: 'layer',
  isConfig: false,
  layerIndex: undefined,
  platform: undefined,
  substitutable: undefined,
};

function sourceOf(blob: BlobAhead, reference: string): ImageSource {
  return {
    reference,
    concurrency: 'parallel',
    roundTripMs: 0,
    getManifest: () => Promise.reject(new Error('the manifest has not come yet')),
    getBlob: ({ size }, options) => Promise.resolve({ stream: blob.open(options), size }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
