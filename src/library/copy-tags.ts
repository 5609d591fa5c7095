import { bringOnce } from '../copy/bring-once.ts';
import { SharedContent } from '../copy/shared-content.ts';
import type { CopyEvent } from '../contract/progress.ts';
import { duringOperation, ImgcopyError, isAbort } from '../errors/imgcopy-error.ts';
import type { OneCopyOptions } from './copy-job.ts';
import { copyBetween } from './copy.ts';
import type { CopyOptions, CopyResult } from './options.ts';
import type { CopyPlan } from './plan.ts';
import { findDigest, listTags } from './questions.ts';
import { underOwnSignal } from './own-signal.ts';
import { tagFilter, type TagSelection } from './select-tags.ts';
import type { SharedResources } from './shared-resources.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName } from '../transports/transport.ts';

/** How many tags are looked at at the same time; their blobs wait in the pool as all others. */
const TAGS_IN_FLIGHT = 16;

export interface CopyTagsOptions
  extends Omit<CopyOptions, 'additionalTags' | 'destinationId' | 'onEvent' | 'since'>, TagSelection {
  /** What a copy reports, and which tag it is for. */
  readonly onEvent?: ((event: CopyEvent & { readonly tag: string }) => void) | undefined;
}

/** What became of a tag. */
export type TagOutcome =
  { readonly tag: string; readonly status: 'copied'; readonly result: CopyResult } | TagNotCopied;

/** What would become of a tag. */
export type TagPlan = { readonly tag: string; readonly status: 'planned'; readonly plan: CopyPlan } | TagNotCopied;

type TagNotCopied =
  /** It was listed, and is not at the source any more. */
  | { readonly tag: string; readonly status: 'gone' }
  | { readonly tag: string; readonly status: 'failed'; readonly error: unknown };

/** See Copier.copyTags. */
export function copyTags(
  shared: SharedResources,
  from: string,
  to: string,
  options: CopyTagsOptions,
): AsyncGenerator<TagOutcome> {
  const copy: TagWork<TagOutcome>['run'] = async ({ tag, source, destination }, copyOptions) => {
    const result = await copyBetween(shared, source, destination, { ...copyOptions, bringBlob: bringOnce });
    return { tag, status: 'copied', result };
  };
  return eachTag(shared, [from, to], options, { what: 'copying', run: copy });
}

/** See Copier.planTags. */
export function planTags(
  shared: SharedResources,
  from: string,
  to: string,
  options: CopyTagsOptions,
): AsyncGenerator<TagPlan> {
  const plan: TagWork<TagPlan>['run'] = async ({ tag, source, destination }, copyOptions) => {
    const { planBetween } = await import('./plan.ts');
    return { tag, status: 'planned', plan: await planBetween(shared, source, destination, copyOptions) };
  };
  return eachTag(shared, [from, to], options, { what: 'planning a copy of', run: plan });
}

/** What is done for a tag. */
interface TagWork<T> {
  /** For messages, before `tag NAME of …`. */
  readonly what: string;
  /** @param names  of the tag's image at both ends. */
  readonly run: (
    names: { readonly tag: string; readonly source: string; readonly destination: string },
    options: OneCopyOptions,
  ) => Promise<T>;
}

async function* eachTag<T extends { readonly status: string }>(
  shared: SharedResources,
  [from, to]: readonly [string, string],
  options: CopyTagsOptions,
  work: TagWork<T>,
): AsyncGenerator<T | TagNotCopied> {
  const source = repositoryOf(parseImageName(from, shared.transports));
  const destination = repositoryOf(parseImageName(to, shared.transports));
  await refuseSameRepository(source, destination);
  const isWanted = await tagFilter(options);
  const over = new AbortController();
  const { signal: asked, source: endpoint } = options;
  const signal = asked === undefined ? over.signal : AbortSignal.any([asked, over.signal]);
  const content = new SharedContent();
  const one = (tag: string): Promise<T | TagNotCopied> =>
    workFor(shared, { source, destination, tag, content }, { ...options, signal }, work);
  let isAny = false;
  const tags = listTags(shared, String(source), { endpoint, signal, onRequest: options.onRequest });
  for await (const outcome of sideBySide(only(tags, isWanted), one, () => over.abort())) {
    isAny ||= outcome.status !== 'gone';
    yield outcome;
  }
  if (!isAny) throw noTags(source, options);
}

interface TagToCopy {
  readonly source: TaggedName;
  readonly destination: TaggedName;
  readonly tag: string;
  readonly content: SharedContent;
}

async function workFor<T>(
  shared: SharedResources,
  { source, destination, tag, content }: TagToCopy,
  { onEvent, ...options }: CopyTagsOptions,
  work: TagWork<T>,
): Promise<T | TagNotCopied> {
  const isGone = async (signal: AbortSignal): Promise<boolean> => {
    const { source: endpoint, onRequest } = options;
    const asking = findDigest(shared, String(source.withTag(tag)), { endpoint, signal, onRequest });
    return await asking.then(
      () => false,
      (error: unknown) => error instanceof ImgcopyError && error.kind === 'not-found',
    );
  };
  return underOwnSignal(options.signal, async (signal) => {
    try {
      const names = { tag, source: String(source.withTag(tag)), destination: String(destination.withTag(tag)) };
      return await work.run(names, {
        ...options,
        ...(onEvent && { onEvent: (event) => onEvent({ ...event, tag }) }),
        signal,
        content,
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      if (isAbort(error)) throw error;
      // Somebody may delete a tag after it was listed. What the tag names may be missing as well, and that is a failure.
      const mayBeGone = error instanceof ImgcopyError && error.kind === 'not-found' && error.side === 'source';
      if (mayBeGone && (await isGone(signal))) {
        onEvent?.({ type: 'warning', message: `tag ${tag} is not at the source any more`, tag });
        return { tag, status: 'gone' };
      }
      return {
        tag,
        status: 'failed',
        error: duringOperation(`${work.what} tag ${tag} of ${source.toString()}`, error),
      };
    }
  });
}

type TaggedName = ImageName & Required<Pick<ImageName, 'withTag'>>;

/** @throws ImgcopyError of kind `usage` for a name that is not that of a repository. */
function repositoryOf(name: ImageName): TaggedName {
  if (!isTagged(name)) {
    throw new ImgcopyError(`${name.toString()} cannot hold several tags`, {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: 'use a registry, or an OCI layout (oci:PATH)',
    });
  }
  const { tag, digest } = name;
  if (tag === undefined && digest === undefined) return name;
  throw new ImgcopyError(`${name.toString()} names one image, and all tags are to be copied`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: `leave out ${digest === undefined ? `:${tag}` : `@${digest}`}`,
  });
}

function isTagged(name: ImageName): name is TaggedName {
  return name.withTag !== undefined && name.listTags !== undefined;
}

async function refuseSameRepository(source: ImageName, destination: ImageName): Promise<void> {
  if ((await source.place()) !== (await destination.place())) return;
  throw new ImgcopyError(`source and destination are the same place: ${source.toString()}`, {
    code: 'ERR_SAME_PLACE',
    kind: 'usage',
  });
}

function noTags(source: ImageName, { tags, exclude, semver }: TagSelection): ImgcopyError {
  const isChosen = tags !== undefined || exclude !== undefined || semver !== undefined;
  return new ImgcopyError(
    isChosen ? `no tag of ${source.toString()} matches` : `${source.toString()} has no tags to copy`,
    {
      code: 'ERR_NO_TAGS',
      kind: 'not-found',
      side: 'source',
      hint: `imgcopy tags ${source.toString()} lists its tags`,
    },
  );
}

async function* only(tags: AsyncIterable<string>, isWanted: (tag: string) => boolean): AsyncGenerator<string> {
  for await (const tag of tags) if (isWanted(tag)) yield tag;
}

/**
 * Does something for each item, some at a time, and gives the results as they come. No more items are asked for than are worked on. Where no more can be
 * had, for the list fails, those that were begun are finished first.
 * @param stop  ends what is under way; called when the loop is left.
 */
async function* sideBySide<T, R>(
  items: AsyncIterable<T>,
  work: (item: T) => Promise<R>,
  stop: () => void,
): AsyncGenerator<R> {
  const running = new Set<Promise<{ readonly result: R; readonly done: () => void }>>();
  const start = (item: T): void => {
    const one = work(item).then((result) => ({ result, done: () => void running.delete(one) }));
    one.catch(() => undefined);
    running.add(one);
  };
  const next = async (): Promise<R> => {
    const { result, done } = await Promise.race(running);
    done();
    return result;
  };
  let failure: { readonly error: unknown } | undefined;
  const source = items[Symbol.asyncIterator]();
  const nextItem = async (): Promise<IteratorResult<T, unknown>> =>
    source.next().catch((error: unknown) => {
      failure = { error };
      return { done: true, value: undefined };
    });
  try {
    for (let item = await nextItem(); item.done !== true; item = await nextItem()) {
      start(item.value);
      if (running.size >= TAGS_IN_FLIGHT) yield await next();
    }
    while (running.size > 0) yield await next();
    if (failure !== undefined) throw failure.error;
  } finally {
    stop();
    await Promise.allSettled(running);
    await source.return?.(undefined);
  }
}
