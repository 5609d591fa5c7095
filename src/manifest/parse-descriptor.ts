import { isDigest, type Digest } from '../digest/digest.ts';
import type { Descriptor, Platform } from './descriptor.ts';
import {
  type JsonNode,
  nodeList,
  optionalNode,
  optionalString,
  optionalStringMap,
  optionalStrings,
  refuse,
  requiredSize,
  requiredString,
  withoutUndefined,
} from './json-fields.ts';

/**
 * Reads one descriptor. A platform that leaves out os or architecture has them empty.
 *
 * @throws InvalidManifestError when a field is missing or of the wrong type.
 */
function parseDescriptor(node: JsonNode): Descriptor {
  const platform = optionalNode(node, 'platform');
  return withoutUndefined<Descriptor>({
    mediaType: requiredString(node, 'mediaType'),
    digest: requiredDigest(node, 'digest'),
    size: requiredSize(node, 'size'),
    urls: optionalStrings(node, 'urls'),
    annotations: optionalStringMap(node, 'annotations'),
    platform: platform && parsePlatformFields(platform),
    artifactType: optionalString(node, 'artifactType'),
  });
}

/** Reads a list of descriptors; none where the field is absent. */
export function parseDescriptors(node: JsonNode, name: string): readonly Descriptor[] {
  return nodeList(node, name).map(parseDescriptor);
}

/** Reads a descriptor that may be absent. */
export function optionalDescriptor(node: JsonNode, name: string): Descriptor | undefined {
  const descriptor = optionalNode(node, name);
  return descriptor && parseDescriptor(descriptor);
}

/** Reads a digest that is safe in a path and in a URL. */
export function requiredDigest(node: JsonNode, name: string): Digest {
  const text = requiredString(node, name);
  return isDigest(text) ? text : refuse(node, name, 'a sha256 or sha512 digest', text);
}

/** Reads a platform as an index, an image's config and schema 1 write it; os and architecture are empty where they are absent. */
export function parsePlatformFields(node: JsonNode): Platform {
  return withoutUndefined<Platform>({
    os: optionalString(node, 'os') ?? '',
    architecture: optionalString(node, 'architecture') ?? '',
    variant: optionalString(node, 'variant') || undefined,
    osVersion: optionalString(node, 'os.version') || undefined,
    osFeatures: optionalStrings(node, 'os.features'),
  });
}
