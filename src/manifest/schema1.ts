import type { Platform } from './descriptor.ts';
import { InvalidManifestError } from './manifest.ts';
import {
  type JsonNode,
  nodeList,
  optionalString,
  parseJsonObject,
  requiredSize,
  requiredString,
  withoutUndefined,
} from './json-fields.ts';
import { manifestMediaType } from './manifest-format.ts';
import type { Schema1Layer, Schema1Manifest } from './manifest.ts';
import { MediaType } from './media-types.ts';
import { parsePlatformFields, requiredDigest } from './parse-descriptor.ts';

/**
 * Reads a schema 1 manifest; a signed one by what is signed.
 *
 * @param document  the parsed bytes.
 * @param mediaType  as manifestMediaType finds it.
 * @throws InvalidManifestError
 */
export function parseSchema1(bytes: Buffer, document: JsonNode, mediaType: string): Schema1Manifest {
  const signed = mediaType === MediaType.schema1SignedManifest;
  // The digest covers the payload alone: fields beside it may be anybody's.
  const content = signed ? parsePayload(bytes) : document;
  return withoutUndefined<Schema1Manifest>({
    kind: 'schema1',
    mediaType,
    signed,
    platform: parsePlatform(content),
    layers: parseLayers(content),
  });
}

/**
 * What the signatures of a schema 1 manifest sign, and its digest is taken of: the bytes up to the signatures, and a tail that the
 * signatures carry.
 *
 * @throws InvalidManifestError when there are no signatures, or they do not agree.
 * @see https://github.com/docker/libtrust/blob/master/jsonsign.go (ParsePrettySignature)
 */
export function signedPayload(bytes: Buffer): Buffer {
  const formats = nodeList(parseJsonObject(bytes), 'signatures').map(parseFormat);
  const [first] = formats;
  if (first === undefined) throw new InvalidManifestError('it has no signatures');
  if (!formats.every(({ length, tail }) => length === first.length && tail.equals(first.tail))) {
    throw new InvalidManifestError('its signatures are of different payloads');
  }
  if (first.length > bytes.length) throw new InvalidManifestError('its signatures are of more bytes than it has');
  return Buffer.concat([bytes.subarray(0, first.length), first.tail]);
}

interface PayloadFormat {
  /** Bytes of the manifest that are the beginning of the payload. */
  readonly length: number;
  /** The end of the payload. */
  readonly tail: Buffer;
}

function parseFormat(signature: JsonNode): PayloadFormat {
  const encoded = requiredString(signature, 'protected');
  const header = parseJsonObject(Buffer.from(encoded, 'base64url'), `${signature.path}.protected`);
  return {
    length: requiredSize(header, 'formatLength'),
    tail: Buffer.from(requiredString(header, 'formatTail'), 'base64url'),
  };
}

function parsePayload(bytes: Buffer): JsonNode {
  const payload = parseJsonObject(signedPayload(bytes), 'the signed payload');
  if (manifestMediaType(payload, undefined) !== MediaType.schema1Manifest) {
    throw new InvalidManifestError('the signed payload is not a schema 1 manifest');
  }
  return payload;
}

function parseLayers(document: JsonNode): readonly Schema1Layer[] {
  const layers = nodeList(document, 'fsLayers');
  const empty = nodeList(document, 'history').map(isThrowaway);
  if (layers.length === 0) throw new InvalidManifestError('it has no fsLayers');
  if (empty.length !== layers.length) {
    throw new InvalidManifestError(`it has ${layers.length} fsLayers and ${empty.length} entries of history`);
  }
  return layers.map((layer, index) => ({ digest: requiredDigest(layer, 'blobSum'), empty: empty[index] === true }));
}

/** The topmost step is the image's config; older tools wrote no os into it. */
function parsePlatform(document: JsonNode): Platform | undefined {
  const [top] = nodeList(document, 'history');
  const config = top && parseStep(top);
  const platform = parsePlatformFields(config ?? document);
  const architecture = platform.architecture || optionalString(document, 'architecture');
  return architecture ? { ...platform, os: platform.os || 'linux', architecture } : undefined;
}

function isThrowaway(entry: JsonNode): boolean {
  return parseStep(entry)?.fields['throwaway'] === true;
}

function parseStep(entry: JsonNode): JsonNode | undefined {
  const compatibility = optionalString(entry, 'v1Compatibility');
  return compatibility === undefined
    ? undefined
    : parseJsonObject(Buffer.from(compatibility), `${entry.path}.v1Compatibility`);
}
