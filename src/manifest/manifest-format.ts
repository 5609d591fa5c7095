import { quote } from '../errors/printable.ts';
import { InvalidManifestError } from './manifest.ts';
import { isPresent, type JsonNode, optionalNode, optionalString } from './json-fields.ts';
import { isImageManifestType, isIndexType, isSchema1Type, MediaType } from './media-types.ts';

/**
 * The media type of a manifest: what its own `mediaType` says, else what its fields look like; what the server declared only decides
 * between formats that look alike, for servers declare wrong types, `application/json` and `text/plain`.
 *
 * @param declared  a Content-Type, parameters and all.
 * @throws InvalidManifestError when it looks like no manifest, or like more than one kind: tools would differ in what they read.
 * @see https://github.com/opencontainers/distribution-spec/security/advisories/GHSA-mc8v-mgrf-8f4m (CVE-2021-41190)
 */
export function manifestMediaType(document: JsonNode, declared: string | undefined): string {
  const own = optionalString(document, 'mediaType');
  const isDecisive = own !== undefined && (isIndexType(own) || isImageManifestType(own));
  const mediaType = isDecisive ? own : typeByShape(document, withoutParameters(declared));
  refuseAmbiguity(document, mediaType);
  return mediaType;
}

function typeByShape(document: JsonNode, declared: string | undefined): string {
  if (document.fields['schemaVersion'] === 1 || isPresent(document, 'fsLayers')) {
    return isPresent(document, 'signatures') ? MediaType.schema1SignedManifest : MediaType.schema1Manifest;
  }
  if (isPresent(document, 'config') || isPresent(document, 'layers')) return imageTypeByShape(document, declared);
  if (Object.hasOwn(document.fields, 'manifests')) {
    return declared === MediaType.dockerManifestList ? declared : MediaType.ociIndex;
  }
  if (isPresent(document, 'blobs')) return MediaType.ociArtifactManifest;
  throw new InvalidManifestError('it has no mediaType, and none of config, layers, manifests and fsLayers');
}

function imageTypeByShape(document: JsonNode, declared: string | undefined): string {
  const config = optionalNode(document, 'config');
  const configType = config && optionalString(config, 'mediaType');
  if (configType === MediaType.dockerConfig) return MediaType.dockerManifest;
  if (configType === MediaType.ociConfig) return MediaType.ociManifest;
  return declared === MediaType.dockerManifest ? declared : MediaType.ociManifest;
}

function withoutParameters(contentType: string | undefined): string | undefined {
  return contentType?.split(';')[0]?.trim().toLowerCase();
}

/** The fields that tell the formats apart. */
const FORMAT_FIELDS: readonly string[] = ['config', 'layers', 'manifests', 'fsLayers', 'history'];

/** All other fields of a manifest that we read. */
const OTHER_FIELDS: readonly string[] = ['schemaVersion', 'mediaType', 'signatures', 'subject', 'blobs'];

/** Tools in Go read `Layers` as `layers`, so a name counts in any case, and another case than its own is refused. */
function refuseAmbiguity(document: JsonNode, mediaType: string): void {
  const allowed = allowedFormatFields(mediaType);
  for (const name of Object.keys(document.fields)) {
    const field = [...FORMAT_FIELDS, ...OTHER_FIELDS].find((known) => foldCase(known) === foldCase(name));
    if (field === undefined || !isPresent(document, name)) continue;
    if (field !== name) throw new InvalidManifestError(`it is ambiguous: ${quote(name)} should be ${field}`);
    if (FORMAT_FIELDS.includes(field) && !allowed.includes(field)) {
      throw new InvalidManifestError(`it is ambiguous: a ${mediaType} should have no ${field}`);
    }
  }
}

function allowedFormatFields(mediaType: string): readonly string[] {
  if (isIndexType(mediaType)) return ['manifests'];
  if (isSchema1Type(mediaType)) return ['fsLayers', 'history'];
  return mediaType === MediaType.ociArtifactManifest ? [] : ['config', 'layers'];
}

/** As Go folds: the long s and the Kelvin sign count as s and k. */
function foldCase(name: string): string {
  return name.toUpperCase().toLowerCase();
}
