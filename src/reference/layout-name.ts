import { isDigest, type Digest } from '../digest/digest.ts';
import { quote } from '../errors/printable.ts';
import { InvalidReferenceError } from './reference-errors.ts';
import { isTag } from './registry-reference.ts';

/** What `PATH[:REF][@DIGEST]` says. */
export interface LayoutName {
  /** As the user wrote it. */
  readonly path: string;
  readonly name: string | undefined;
  readonly digest: Digest | undefined;
}

/**
 * Reads the name of an image in a layout. As in skopeo, the first colon ends the path, and a name may hold colons and slashes.
 * @param text  without a transport.
 * @param whole  as the user wrote it, for messages.
 * @throws InvalidReferenceError
 */
export function parseLayoutName(text: string, whole: string): LayoutName {
  const at = text.lastIndexOf('@');
  const digest = text.slice(at + 1);
  const isPinned = at !== -1 && isDigest(digest);
  const named = isPinned ? text.slice(0, at) : text;
  const colon = named.indexOf(':');
  const path = colon === -1 ? named : named.slice(0, colon);
  const name = colon === -1 ? undefined : named.slice(colon + 1);
  if (path === '') throw new InvalidReferenceError(whole, 'the path is empty');
  if (path.includes('\0')) throw new InvalidReferenceError(whole, 'a path cannot hold a NUL character');
  if (name === '') throw new InvalidReferenceError(whole, 'the name after the colon is empty');
  if (/@sha(?:256|512)$/.test(path)) throw new InvalidReferenceError(whole, BAD_DIGEST);
  if (name !== undefined && /@sha(?:256|512):[^/]*$/.test(name)) {
    throw new InvalidReferenceError(whole, BAD_DIGEST);
  }
  return { path, name, digest: isPinned ? digest : undefined };
}

/** The text that reads back as this name, without a transport. */
export function formatLayoutName({ path, name, digest }: LayoutName): string {
  return `${path}${name === undefined ? '' : `:${name}`}${digest === undefined ? '' : `@${digest}`}`;
}

/**
 * Refuses a name for a new image that other tools could not read; a tag of a registry is always one.
 * @throws InvalidReferenceError
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md#pre-defined-annotation-keys
 */
export function checkNewName(name: string, whole: string): void {
  if (isTag(name) || REF_NAME.test(name)) return;
  throw new InvalidReferenceError(
    whole,
    `the name ${quote(name)} is not letters and digits, joined by one of - . _ : @ + / or two dashes`,
  );
}

const BAD_DIGEST = 'the digest is not sha256:<64 hex digits> or sha512:<128 hex digits>';

const COMPONENT = '[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*';
const REF_NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
