import { InvalidReferenceError, UnknownTransportError, withoutUserinfo } from '../reference/reference-errors.ts';
import { dockerArchiveTransport, ociArchiveTransport, standardStreams } from './archive/index.ts';
import { dirTransport } from './dir/index.ts';
import { ociTransport } from './oci/index.ts';
import { registryTransport } from './registry/index.ts';
import type { ImageName, Transport } from './transport.ts';

/** All transports. A new one is its folder, and its line here. */
export const transports: readonly Transport[] = [
  registryTransport,
  dirTransport,
  ociTransport,
  ociArchiveTransport,
  dockerArchiveTransport,
  standardStreams,
];

/**
 * Reads the name of an image: `docker://HOST[:PORT]/NAME[:TAG][@DIGEST]`, a bare `NAME[:TAG][@DIGEST]`, `dir:PATH[@DIGEST]`, or whatever else
 * the table knows. No tag is filled in: see ImageName.withDefaultTag.
 *
 * @param table  the transports that there are.
 * @throws UnknownTransportError for the transports of other tools.
 * @throws InvalidReferenceError for all else that names no image.
 */
export function parseImageName(text: string, table: readonly Transport[] = transports): ImageName {
  if (text === '') throw new InvalidReferenceError(text, 'it is empty');
  const named = table.find(({ prefix }) => text.startsWith(prefix));
  if (named !== undefined) return named.parse(text);
  const known = table.map(({ prefix }) => prefix);
  refuseOtherTransport(text, known);
  refuseBarePath(text);
  return registryTransport.parse(text);
}

// Transports of skopeo, podman, regctl and buildx that are written NAME:…; any other NAME:TAG is an image.
const OTHER_TRANSPORTS = new Set(['atomic', 'oci-layout', 'ostree', 'sif', 'tarball']);

/** Images that a daemon or a tool of its own keeps, and what moves them in and out. */
const STORES: ReadonlyMap<string, string> = new Map([
  ['docker-daemon', 'docker'],
  ['containers-storage', 'podman'],
]);

function refuseOtherTransport(text: string, known: readonly string[]): void {
  const scheme = /^([\w+.-]+):\/\/(.*)$/s.exec(text);
  if (scheme !== null) {
    const [, name = '', rest = ''] = scheme;
    const hint =
      name === 'ocidir' || name === 'oci-layout'
        ? `an OCI image layout is written oci:${rest}`
        : `an image in a registry is written docker://${withoutUserinfo(rest)}`;
    throw new UnknownTransportError(text, `${name}://`, { known, hint });
  }
  const colon = text.indexOf(':');
  const name = text.slice(0, Math.max(colon, 0));
  if (name === 'docker' && text !== 'docker:') refuseDockerWithoutSlashes(text);
  const tool = STORES.get(name);
  if (tool !== undefined) {
    const image = withoutUserinfo(text.slice(colon + 1)) || 'IMAGE';
    throw new UnknownTransportError(text, `${name}:`, {
      known,
      hint: `use a pipe: ${tool} save ${image} | imgcopy - DST, or imgcopy SRC - | ${tool} load`,
    });
  }
  if (OTHER_TRANSPORTS.has(name)) {
    const instead =
      name === 'oci-layout'
        ? `an OCI image layout is written oci:${text.slice(colon + 1)}`
        : `convert it first: skopeo copy ${withoutUserinfo(text)} dir:image`;
    throw new UnknownTransportError(text, `${name}:`, {
      known,
      hint: `${instead}. The image called ${name} is written docker://${withoutUserinfo(text)}`,
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
  throw new InvalidReferenceError(text, 'it is a path', { hint: `to use a directory, write dir:${text}` });
}
