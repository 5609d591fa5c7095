import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName } from '../transports/transport.ts';
import type { CopyJob } from './copy-job.ts';
import type { SharedResources } from './shared-resources.ts';

/** A name, or an object that its owner has opened. */
export type End<T> =
  { readonly name: ImageName; readonly object?: undefined } | { readonly name?: undefined; readonly object: T };

export interface Ends {
  readonly source: End<ImageSource>;
  readonly destination: End<ImageDestination>;
  /** The destination's name as it was given. */
  readonly given?: ImageName | undefined;
}

/** Reads the names, completes the destination's, and refuses what cannot be copied. Nothing is opened. */
export async function resolveEnds(
  job: Pick<CopyJob, 'shared' | 'options'>,
  from: string | ImageSource,
  to: string | ImageDestination,
): Promise<Ends> {
  return resolveDestination(job, resolveSource(job.shared, from), to);
}

export function resolveSource(shared: SharedResources, from: string | ImageSource): End<ImageSource> {
  return typeof from === 'string' ? named(parseImageName(from, shared.transports).withDefaultTag()) : handed(from);
}

export async function resolveDestination(
  { shared, options }: Pick<CopyJob, 'shared' | 'options'>,
  source: End<ImageSource>,
  to: string | ImageDestination,
): Promise<Ends> {
  if (typeof to !== 'string') {
    if (options.since !== undefined) refuseSince(to.reference, options.since);
    return { source, destination: handed(to) };
  }
  const given = parseImageName(to, shared.transports);
  const name = given.completedFrom(source.name);
  if (source.name !== undefined) await refuseSamePlace(source.name, name);
  if (options.additionalTags !== undefined) refuseTags(name, options.additionalTags);
  if (options.since !== undefined) refuseSince(name, options.since);
  return { source, destination: named(name), given };
}

async function refuseSamePlace(source: ImageName, destination: ImageName): Promise<void> {
  if (!(await isSamePlace(source, destination))) return;
  throw new ImgcopyError(`source and destination are the same place: ${source.toString()}`, {
    code: 'ERR_SAME_PLACE',
    kind: 'usage',
  });
}

/** Whether two names lead to one place: to the same image, or by several transports to the same directory or file. */
export async function isSamePlace(one: ImageName, other: ImageName): Promise<boolean> {
  const [place, otherPlace] = await Promise.all([one.place(), other.place()]);
  if (place === otherPlace) return true;
  if (one.transport === other.transport) return false;
  const [path, otherPath] = await Promise.all([one.pathOnDisk?.(), other.pathOnDisk?.()]);
  return path !== undefined && path === otherPath;
}

function refuseTags(destination: ImageName, tags: readonly string[]): void {
  if (tags.length === 0 || destination.withTag !== undefined) return;
  throw new ImgcopyError(`${destination.toString()} cannot have further tags`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'leave out --additional-tag',
  });
}

function refuseSince(destination: ImageName | string, since: readonly string[]): void {
  if (since.length === 0 || (typeof destination !== 'string' && destination.mayLeaveOut === true)) return;
  throw new ImgcopyError(`--since is for archives, and ${destination.toString()} is none`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    side: 'destination',
    hint: 'leave out --since, for what a destination has is not copied again; or write an archive: oci-archive:FILE',
  });
}

/** Where the source's name has neither tag nor digest, the source may tell the tag once it is open. */
export function withOwnTag(ends: Ends, { tag, fullName }: ImageSource): Ends {
  const { given } = ends;
  const { name } = ends.source;
  if (tag === undefined || given === undefined || name === undefined || isNameSettled(ends)) return ends;
  return { ...ends, destination: named(given.completedFrom(name, { tag, fullName })) };
}

/** Whether the destination's name is known before the source is open: that may tell the tag. */
export function isNameSettled({ given, source: { name } }: Ends): boolean {
  return (given?.tag ?? given?.digest ?? name?.tag ?? name?.digest) !== undefined;
}

function named(name: ImageName): { readonly name: ImageName } {
  return { name };
}

function handed<T>(object: T): { readonly object: T } {
  return { object };
}
