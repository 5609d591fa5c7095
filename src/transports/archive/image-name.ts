import type { ImageName, OwnNames } from '../transport.ts';
import { InvalidReferenceError } from '../../reference/reference-errors.ts';
import { parseRegistryReference } from '../../reference/registry-reference.ts';

/**
 * The full name of an image, as docker, podman and containerd store it: `alpine` is `docker.io/library/alpine:latest`.
 * @param text  the reference as the user wrote it, for messages.
 * @throws InvalidReferenceError
 */
export function fullImageName(name: string, text: string = name): string {
  const { registry, repository, tag = 'latest' } = parseRegistryReference(name, text);
  return `${registry}/${repository}:${tag}`;
}

/** The full name that is meant by what somebody wrote into an archive; undefined for what is not a name. */
export function fullNameOrNone(name: string): string | undefined {
  try {
    return fullImageName(name);
  } catch (error) {
    if (error instanceof InvalidReferenceError) return undefined;
    throw error;
  }
}

/** The tag at the end of a full name. */
export function tagInFullName(name: string): string {
  return name.slice(name.lastIndexOf(':') + 1);
}

/** The full name that an image has at its source, where it has one. */
export function fullNameAt(source: ImageName | undefined, own: OwnNames): string | undefined {
  return source?.fullName ?? nameFromRegistry(source) ?? (own.fullName && fullNameOrNone(own.fullName));
}

function nameFromRegistry(name: ImageName | undefined): string | undefined {
  if (name?.transport !== 'docker' || name.tag === undefined) return undefined;
  return fullImageName(String(name).replace('docker://', '').replace(/@.*$/, ''));
}
