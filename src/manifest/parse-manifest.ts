import { digestOf, type Digest, type DigestAlgorithm } from '../digest/digest.ts';
import {
  isPresent,
  type JsonNode,
  optionalString,
  optionalStringMap,
  parseJsonObject,
  refuse,
  withoutUndefined,
} from './json-fields.ts';
import { manifestMediaType } from './manifest-format.ts';
import { type ImageIndex, type ImageManifest, InvalidManifestError, type Manifest } from './manifest.ts';
import { isIndexType, isSchema1Type, MediaType } from './media-types.ts';
import { optionalDescriptor, parseDescriptors } from './parse-descriptor.ts';
import { parseSchema1, signedPayload } from './schema1.ts';

export { InvalidManifestError } from './manifest.ts';
export type { ImageIndex, ImageManifest, Manifest, Schema1Layer, Schema1Manifest } from './manifest.ts';

/** More than this is no manifest: registries refuse it too. In bytes. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;

/**
 * Reads a manifest of any format that imgcopy copies.
 *
 * @param bytes  as they came; their digest is not checked here.
 * @param declaredMediaType  the Content-Type they came with; trusted less than what the manifest says of itself.
 * @returns a value whose digests are safe in paths and URLs and whose sizes are whole numbers of bytes.
 * @throws InvalidManifestError when it is too large, no manifest, ambiguous, or has a field of the wrong type.
 */
export function parseManifest(bytes: Buffer, declaredMediaType?: string): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new InvalidManifestError(`it has ${bytes.length} bytes, more than ${MAX_MANIFEST_BYTES}`);
  }
  const document = parseJsonObject(bytes);
  const mediaType = manifestMediaType(document, declaredMediaType);
  if (isSchema1Type(mediaType)) return parseSchema1(bytes, document, mediaType);
  return isIndexType(mediaType) ? parseIndex(document, mediaType) : parseImage(document, mediaType);
}

/**
 * The digest that a registry knows a manifest by: that of its bytes, but for a signed schema 1 manifest, whose signatures do not count.
 *
 * @param mediaType  as parseManifest finds it, not as a server declared it.
 * @throws InvalidManifestError when signatures that should be there cannot be read.
 */
export function manifestDigest(bytes: Buffer, mediaType: string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestOf(mediaType === MediaType.schema1SignedManifest ? signedPayload(bytes) : bytes, algorithm);
}

function parseIndex(document: JsonNode, mediaType: string): ImageIndex {
  return withoutUndefined<ImageIndex>({
    kind: 'index',
    mediaType,
    manifests: parseDescriptors(document, 'manifests'),
    ...commonFields(document),
  });
}

function parseImage(document: JsonNode, mediaType: string): ImageManifest {
  const isArtifactManifest = mediaType === MediaType.ociArtifactManifest;
  if (!isArtifactManifest && !isPresent(document, 'config')) refuse(document, 'config', 'a descriptor', undefined);
  const config = isArtifactManifest ? undefined : optionalDescriptor(document, 'config');
  const common = commonFields(document);
  return {
    ...withoutUndefined(common),
    kind: 'image',
    mediaType,
    config,
    layers: parseDescriptors(document, isArtifactManifest ? 'blobs' : 'layers'),
    isArtifact: common.artifactType !== undefined || !isImageConfig(config?.mediaType),
  };
}

function commonFields(document: JsonNode): Pick<ImageIndex, 'subject' | 'artifactType' | 'annotations'> {
  return {
    subject: optionalDescriptor(document, 'subject'),
    artifactType: optionalString(document, 'artifactType') || undefined,
    annotations: optionalStringMap(document, 'annotations'),
  };
}

function isImageConfig(mediaType: string | undefined): boolean {
  return mediaType === MediaType.ociConfig || mediaType === MediaType.dockerConfig;
}
