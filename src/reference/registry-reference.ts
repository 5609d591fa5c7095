import { isDigest, type Digest } from '../digest/digest.ts';
import { quote } from '../errors/printable.ts';
import { holdsUserinfo, InvalidReferenceError } from './reference-errors.ts';

/** An image, or all images of a repository, in a registry. */
export interface RegistryReference {
  /** `host[:port]`; Docker Hub is `docker.io`, whatever it was called. */
  readonly registry: string;
  /** With `library/` filled in on Docker Hub. */
  readonly repository: string;
  readonly tag?: string | undefined;
  /** Beside a tag: what the tag must be. */
  readonly digest?: Digest | undefined;
}

/**
 * Reads `NAME[:TAG][@DIGEST]` as docker does: Docker Hub and its `library/` are filled in, no tag is.
 *
 * @param name  without a transport.
 * @param text  the reference as the user wrote it, for messages.
 * @throws InvalidReferenceError
 * @see https://pkg.go.dev/github.com/distribution/reference#pkg-overview (grammar)
 */
export function parseRegistryReference(name: string, text: string): RegistryReference {
  refuseUserinfo(name, text);
  refuseImageId(name, text);
  const [named, digest] = cut(name, '@');
  const [registry, path] = splitRegistry(named);
  const [repository, tag] = cut(path, ':');
  checkRegistry(registry, text);
  checkRepository(repository, registry, text);
  checkTag(tag, text);
  checkDigest(digest, text);
  return {
    registry,
    repository: fullRepository(repository, registry),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  };
}

/** A text that reads back as this reference, host included. */
export function formatRegistryReference({ registry, repository, tag, digest }: RegistryReference): string {
  const ending = `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
  return `docker://${registry}/${repository}${ending}`;
}

/** Whether a text may be a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

const DOCKER_HUB = 'docker.io';
const TAG = /^\w[\w.-]{0,127}$/;
const HOST = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[a-f0-9:]+\])$/i;
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const MAX_REPOSITORY_LENGTH = 255;
const MAX_TAG_LENGTH = 128;

function refuseUserinfo(name: string, text: string): void {
  if (!holdsUserinfo(name)) return;
  throw new InvalidReferenceError(text, 'a reference cannot contain a user name and password', {
    hint: 'give them with --src-creds or --dest-creds, or run imgcopy login',
  });
}

function refuseImageId(name: string, text: string): void {
  if (/^[a-f0-9]{64}$/.test(name)) {
    throw new InvalidReferenceError(text, '64 hex digits are the ID of an image, not its name');
  }
}

/** The first part is a host only where it looks like one; `ubuntu/nginx` is on Docker Hub. */
function splitRegistry(named: string): [registry: string, path: string] {
  const [first, rest] = cut(named, '/');
  if (rest === undefined) return [DOCKER_HUB, named];
  if (first === 'index.docker.io') return [DOCKER_HUB, rest];
  const isHost = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
  return isHost ? [first, rest] : [DOCKER_HUB, named];
}

function checkRegistry(registry: string, text: string): void {
  const colon = registry.lastIndexOf(':');
  const hasPort = colon > registry.lastIndexOf(']');
  const host = hasPort ? registry.slice(0, colon) : registry;
  const port = hasPort ? registry.slice(colon + 1) : undefined;
  const hint = 'the part before the first slash is the host[:port] of a registry';
  if (!HOST.test(host)) throw new InvalidReferenceError(text, `${quote(host)} is not a valid host name`, { hint });
  if (port !== undefined && !/^\d+$/.test(port)) {
    throw new InvalidReferenceError(text, `the port ${quote(port)} is not a number`, { hint });
  }
  // docker's grammar lets through what no URL can hold: a port over 65535, 300.1.1.1, [::::].
  if (!URL.canParse(`https://${registry}/`)) {
    throw new InvalidReferenceError(text, `${quote(registry)} is not a host and port`, { hint });
  }
}

function checkRepository(repository: string, registry: string, text: string): void {
  const lowerCase = repository.toLowerCase();
  const components = repository.split('/');
  if (repository === '') throw new InvalidReferenceError(text, 'it names no repository');
  if (components.includes('')) throw new InvalidReferenceError(text, 'a part of the repository is empty');
  if (repository !== lowerCase) {
    throw new InvalidReferenceError(text, `the repository ${quote(repository)} has upper-case letters`, {
      hint: `repositories are lower-case: docker://${registry}/${lowerCase}`,
    });
  }
  const wrong = components.find((component) => !COMPONENT.test(component));
  if (wrong !== undefined) {
    throw new InvalidReferenceError(
      text,
      `${quote(wrong)} in the repository is not letters and digits, joined by one of . _ __ or dashes`,
    );
  }
  const { length } = fullRepository(repository, registry);
  if (length > MAX_REPOSITORY_LENGTH) {
    throw new InvalidReferenceError(
      text,
      `the repository has ${length} characters, more than ${MAX_REPOSITORY_LENGTH}`,
    );
  }
}

function fullRepository(repository: string, registry: string): string {
  return registry === DOCKER_HUB && !repository.includes('/') ? `library/${repository}` : repository;
}

function checkTag(tag: string | undefined, text: string): void {
  if (tag === undefined) return;
  if (tag === '') throw new InvalidReferenceError(text, 'the tag after the colon is empty');
  if (tag.length > MAX_TAG_LENGTH) {
    throw new InvalidReferenceError(text, `the tag has ${tag.length} characters, more than ${MAX_TAG_LENGTH}`);
  }
  if (!isTag(tag)) {
    throw new InvalidReferenceError(
      text,
      `the tag ${quote(tag)} is not letters, digits and _ . - (the last two not in front)`,
    );
  }
}

function checkDigest(digest: string | undefined, text: string): asserts digest is Digest | undefined {
  if (digest === undefined || isDigest(digest)) return;
  throw new InvalidReferenceError(text, 'the digest is not sha256:<64 hex digits> or sha512:<128 hex digits>');
}

/** What stands before and after the first separator; the second is undefined where there is none. */
function cut(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
