import { nowMs } from '../io/clock.ts';
import { copyImage as runCopy, type CopiedImage } from '../copy/copy-image.ts';
import type { PreparedRun } from '../copy/copy-run.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { RequestObserver } from '../http/send/send.ts';
import type { CopierOptions, CopyOptions, CopyResult } from './options.ts';
import { SharedResources } from './shared-resources.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName, OpenOptions } from '../transports/transport.ts';
import type { CopyEvent } from '../contract/progress.ts';

/** Copies images; all its copies share connections, tokens, the cache, and the limits on work in flight. To be disposed of. */
export interface Copier extends AsyncDisposable {
  /**
   * Copies one image.
   * @param source  `docker://HOST/NAME[:TAG][@DIGEST]`, a bare name, or `dir:PATH`; so is the destination.
   * @throws ImgcopyError
   */
  copy(source: string, destination: string, options?: CopyOptions): Promise<CopyResult>;
}

/** Makes a copier: to copy many images with one set of connections, tokens and limits. */
export function createCopier(options: CopierOptions = {}): Copier {
  const shared = new SharedResources(options);
  return {
    copy: (source, destination, copyOptions = {}) => copyWith(shared, source, destination, copyOptions),
    [Symbol.asyncDispose]: () => shared[Symbol.asyncDispose](),
  };
}

/** Copies one image, with a copier of its own. See Copier.copy. */
export async function copyImage(
  source: string,
  destination: string,
  options: CopyOptions & CopierOptions = {},
): Promise<CopyResult> {
  await using copier = createCopier(options);
  return await copier.copy(source, destination, options);
}

async function copyWith(shared: SharedResources, from: string, to: string, options: CopyOptions): Promise<CopyResult> {
  const over = new AbortController();
  const signals = options.signal === undefined ? [over.signal] : [over.signal, options.signal];
  try {
    return await copyUnder(AbortSignal.any(signals), shared, { from, to, options });
  } finally {
    // What a copy that failed early still asks for would be retried after its end.
    over.abort();
  }
}

async function copyUnder(
  signal: AbortSignal,
  shared: SharedResources,
  { from, to, options }: { readonly from: string; readonly to: string; readonly options: CopyOptions },
): Promise<CopyResult> {
  const started = nowMs();
  const tally = new Tally(options);
  const sourceName = parseImageName(from).withDefaultTag();
  const destinationName = parseImageName(to).completedFrom(sourceName);
  await refuseSamePlace(sourceName, destinationName);
  if (options.additionalTags !== undefined) refuseTags(destinationName, options.additionalTags);

  const open: Omit<OpenOptions, 'endpoint'> = {
    access: shared.access,
    env: shared.env,
    observer: tally.observer,
    onWarning: shared.warn,
    cache: shared.openedCache,
    signal,
  };
  await using source = await sourceName.openSource({ ...open, endpoint: options.source ?? {} });
  await using destination = await destinationName.openDestination({
    ...open,
    endpoint: options.destination ?? {},
    source: source.repository,
    force: options.force ?? false,
  });
  tally.emit({ type: 'started', source: source.reference, destination: destination.reference });
  const run: PreparedRun = {
    source,
    destination,
    openCache: () => shared.cache(),
    pool: shared.pool,
    memory: shared.memory,
    policy: shared.policy,
    partial: options.partial ?? 'auto',
    substitute: options.substitute ?? false,
    includeForeign: options.allowNondistributableArtifacts ?? false,
    removeSignatures: options.removeSignatures ?? false,
    emit: tally.emit,
    signal,
  };
  const copied = await runCopy(run, {
    ...options,
    sourceDigest: sourceName.digest,
    destinationDigest: destinationName.digest,
  });
  const durationMs = Math.round(nowMs() - started);
  return {
    ...tally.result(copied),
    source: source.reference,
    destination: destination.reference,
    reference: destinationName.pinned(copied.digest),
    durationMs,
  };
}

/** Counts what a copy does, for its result. */
class Tally {
  readonly #options: CopyOptions;
  readonly #requests = { source: 0, destination: 0 };
  #retries = 0;

  constructor(options: CopyOptions) {
    this.#options = options;
  }

  readonly emit = (event: CopyEvent): void => {
    if (event.type === 'retry') this.#retries += 1;
    this.#options.onEvent?.(event);
  };

  readonly observer: RequestObserver = {
    onRequest: (request, outcome) => {
      this.#requests[request.side] += 1;
      this.#options.onRequest?.(request, outcome);
    },
    onRetry: (retry) => this.emit({ type: 'retry', ...retry }),
  };

  result({
    digest,
    mediaType,
    size,
    manifests,
    blobs,
    skipped,
  }: CopiedImage): Omit<CopyResult, 'source' | 'destination' | 'reference' | 'durationMs'> {
    const count = (...outcomes: string[]): number => blobs.filter(({ outcome }) => outcomes.includes(outcome)).length;
    const sum = (of: (blob: CopiedImage['blobs'][number]) => number): number =>
      blobs.reduce((total, blob) => total + of(blob), 0);
    return {
      digest,
      mediaType,
      size,
      manifests,
      blobs: {
        total: blobs.length,
        reused: count('reused', 'substituted'),
        mounted: count('mounted'),
        partial: count('partial'),
        copied: count('copied'),
      },
      bytes: {
        total: sum((blob) => blob.size),
        fetched: sum((blob) => blob.bytesFetched),
        reused: sum((blob) => blob.bytesReused),
        uploaded: sum((blob) => (blob.outcome === 'copied' || blob.outcome === 'partial' ? blob.size : 0)),
      },
      requests: { ...this.#requests },
      retries: this.#retries,
      skipped: skipped ?? null,
    };
  }
}

async function refuseSamePlace(source: ImageName, destination: ImageName): Promise<void> {
  if ((await source.place()) !== (await destination.place())) return;
  throw new ImgcopyError(`source and destination are the same place: ${source.toString()}`, {
    code: 'ERR_SAME_PLACE',
    kind: 'usage',
  });
}

function refuseTags(destination: ImageName, tags: readonly string[]): void {
  if (tags.length === 0 || destination.listTags !== undefined) return;
  throw new ImgcopyError(`${destination.toString()} cannot have further tags`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'leave out --additional-tag',
  });
}
