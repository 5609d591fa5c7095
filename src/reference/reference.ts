import { isDigest, type Digest } from '../digest/digest.ts';
import { InvalidReferenceError, UnknownTransportError, withoutUserinfo } from './reference-errors.ts';
import { parseRegistryReference, type RegistryReference } from './registry-reference.ts';

export { InvalidReferenceError, UnknownTransportError } from './reference-errors.ts';
export { apiHost, isLoopbackHost } from './registry-host.ts';
export { isTag, type RegistryReference } from './registry-reference.ts';

/** A directory in the containers dir: layout. */
export interface DirReference {
  readonly transport: 'dir';
  /** As the user wrote it. */
  readonly path: string;
  /** What the image there must be. */
  readonly digest?: Digest | undefined;
}

/** Where an image is, or is to be. */
export type Reference = RegistryReference | DirReference;

/**
 * Reads `docker://HOST[:PORT]/NAME[:TAG][@DIGEST]`, a bare `NAME[:TAG][@DIGEST]`, or `dir:PATH[@DIGEST]`. No tag is filled in: see
 * withDefaultTag.
 *
 * @throws UnknownTransportError for the transports of other tools.
 * @throws InvalidReferenceError for all else that names no image.
 */
export function parseReference(text: string): Reference {
  if (text === '') throw new InvalidReferenceError(text, 'it is empty');
  if (text.startsWith('docker://')) return parseRegistryReference(text.slice('docker://'.length), text);
  if (text.startsWith('dir:')) return parseDirReference(text);
  refuseOtherTransport(text);
  refuseBarePath(text);
  return parseRegistryReference(text, text);
}

/** The reference with tag `latest` where it has neither tag nor digest. */
export function withDefaultTag(reference: RegistryReference): RegistryReference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: 'latest' };
}

/** A text that parseReference reads back, transport and host included. */
export function formatReference(reference: Reference): string {
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  if (reference.transport === 'dir') return `dir:${reference.path}${digest}`;
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  return `docker://${reference.registry}/${reference.repository}${tag}${digest}`;
}

/** The image under a name as it is now: `docker://host/name@sha256:…`, `dir:/path@sha256:…`. */
export function pinnedReference(reference: Reference, digest: Digest): string {
  if (reference.transport === 'dir') return formatReference({ ...reference, digest });
  return formatReference({ ...reference, tag: undefined, digest });
}

function parseDirReference(text: string): DirReference {
  const whole = text.slice('dir:'.length);
  const at = whole.lastIndexOf('@');
  const digest = whole.slice(at + 1);
  const isPinned = at !== -1 && isDigest(digest);
  const path = isPinned ? whole.slice(0, at) : whole;
  if (path === '') throw new InvalidReferenceError(text, 'the path is empty');
  if (path.includes('\0')) throw new InvalidReferenceError(text, 'a path cannot hold a NUL character');
  return { transport: 'dir', path, ...(isPinned && { digest }) };
}

// Transports of skopeo, podman, regctl and buildx that are written NAME:…; any other NAME:TAG is an image.
const OTHER_TRANSPORTS = new Set([
  'atomic',
  'containers-storage',
  'docker-archive',
  'docker-daemon',
  'oci',
  'oci-archive',
  'oci-layout',
  'ostree',
  'sif',
  'tarball',
]);

function refuseOtherTransport(text: string): void {
  const scheme = /^([\w+.-]+):\/\/(.*)$/s.exec(text);
  if (scheme !== null) {
    const [, name = '', rest = ''] = scheme;
    throw new UnknownTransportError(text, `${name}://`, {
      hint: `an image in a registry is written docker://${withoutUserinfo(rest)}`,
    });
  }
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(colon, 0));
  if (name === 'docker' && text !== 'docker:') refuseDockerWithoutSlashes(text);
  if (OTHER_TRANSPORTS.has(name)) {
    throw new UnknownTransportError(text, `${name}:`, {
      hint: `an image called ${name} is written docker://${withoutUserinfo(text)}`,
    });
  }
}

/** `docker:27` may be the image docker of Docker Hub, or `docker://` with slashes missing: the user has to say. */
function refuseDockerWithoutSlashes(text: string): never {
  const rest = text.slice('docker:'.length);
  const name = withoutUserinfo(rest.replace(/^\/+/, ''));
  throw new InvalidReferenceError(text, 'docker: is not followed by two slashes', {
    hint: rest.startsWith('/')
      ? `did you mean docker://${name}?`
      : `did you mean docker://${name}, or docker://docker:${name} for the image called docker?`,
  });
}

function refuseBarePath(text: string): void {
  const isPath = /^(?:\.{0,2}\/|\.{1,2}$)/.test(text) || /^[a-z]:[\\/]/i.test(text) || text.includes('\\');
  if (!isPath) return;
  throw new InvalidReferenceError(text, 'a directory is written with its transport', { hint: `dir:${text}` });
}
