import type { ImageName } from '../transport.ts';
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

/** The tag at the end of a full name. */
export function tagInFullName(name: string): string {
  return name.slice(name.lastIndexOf(':') + 1);
}

/** The full name of an image in a registry, where the name has a tag. */
export function nameFromRegistry(name: ImageName | undefined): string | undefined {
  if (name?.transport !== 'docker' || name.tag === undefined) return undefined;
  return fullImageName(String(name).replace('docker://', '').replace(/@.*$/, ''));
}
