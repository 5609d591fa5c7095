import { digestAlgorithm, digestOf, isDigest, type Digest } from '../../../src/digest/digest.ts';
import type { RawManifest } from '../../../src/contract/blob-info.ts';
import { payloadOf } from '../schema1.ts';
import type { Exchange } from './exchange.ts';
import { isPushable, refusalOf, type RegistryState } from './state.ts';
import type { Repository } from './store.ts';

const TAG = /^\w[\w.-]{0,127}$/;

/** What the registry reads of a manifest. */
export interface ManifestContent {
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly config?: ManifestDescriptor;
  readonly layers?: readonly ManifestDescriptor[];
  readonly manifests?: readonly ManifestDescriptor[];
  readonly fsLayers?: readonly { readonly blobSum: Digest }[];
  readonly subject?: ManifestDescriptor;
}

interface ManifestDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly urls?: readonly string[];
}

/** GET, HEAD, PUT and DELETE of a manifest. */
export async function handleManifest(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  reference: string,
): Promise<void> {
  if (!isDigest(reference) && !TAG.test(reference))
    return await exchange.fail(400, 'TAG_INVALID', 'manifest tag is none');
  if (exchange.method === 'PUT') return await putManifest(exchange, registry, name, reference);
  const manifest = registry.store.find(name)?.manifest(reference);
  if (manifest === undefined) {
    const { status, code, message = 'manifest unknown' } = refusalOf(registry, name, 'manifest');
    return await exchange.fail(status, code, message, { unknown: reference });
  }
  if (exchange.method === 'DELETE') {
    registry.store.open(name).deleteManifest(reference);
    return await exchange.answer(202);
  }
  await sendManifest(exchange, registry, manifest);
}

async function sendManifest(exchange: Exchange, registry: RegistryState, manifest: RawManifest): Promise<void> {
  const { checkAccept, headDigestHeader } = registry.settings;
  if (checkAccept && !accepts(exchange.header('accept'), manifest.mediaType)) {
    return await exchange.fail(
      404,
      'MANIFEST_UNKNOWN',
      `${manifest.mediaType} found, but accept header does not support it`,
    );
  }
  const namesDigest = exchange.method !== 'HEAD' || headDigestHeader;
  const headers = {
    'content-type': manifest.mediaType,
    ...(namesDigest ? { 'docker-content-digest': manifest.digest, etag: `"${manifest.digest}"` } : {}),
  };
  await exchange.answer(200, headers, exchange.content(manifest.bytes));
}

function accepts(accept: string | undefined, mediaType: string): boolean {
  const types = (accept ?? '*/*').split(',').map((part) => part.split(';')[0]?.trim());
  return types.includes('*/*') || types.includes('application/*') || types.includes(mediaType);
}

async function putManifest(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  reference: string,
): Promise<void> {
  if (!(await isPushable(exchange, registry, name))) return;
  const bytes = await exchange.wholeBody(registry.settings.maxManifestBytes);
  if (bytes === undefined) return await exchange.fail(413, 'SIZE_INVALID', 'manifest too large');
  const mediaType = exchange.header('content-type') ?? '';
  const content = parseManifest(bytes);
  if (content === undefined || (content.mediaType !== undefined && content.mediaType !== mediaType)) {
    return await exchange.fail(400, 'MANIFEST_INVALID', `manifest invalid, or none of type ${mediaType}`);
  }
  const payload = payloadOf(bytes, mediaType);
  const digest = digestOf(payload, isDigest(reference) ? digestAlgorithm(reference) : 'sha256');
  if (isDigest(reference) && reference !== digest) {
    return await exchange.fail(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content');
  }
  const { immutableTags } = registry.settings;
  if (immutableTags !== false && registry.store.find(name)?.tags.has(reference) === true) {
    const message = `The image tag '${reference}' already exists in the '${name}' repository and cannot be overwritten because the tag is immutable.`;
    const refusal = immutableTags === true ? { status: 400, code: 'TAG_INVALID' } : immutableTags;
    return await exchange.fail(refusal.status, refusal.code, message);
  }
  const current = registry.store.find(name)?.tags.get(reference);
  if (registry.settings.conditionalPuts && !holds(exchange, current)) {
    return await exchange.fail(412, 'PRECONDITION_FAILED', 'the tag holds something else');
  }
  const missing = missingContent(content, registry, registry.store.find(name));
  if (missing.length > 0) return await exchange.fail(400, 'MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', missing);
  const repository = registry.store.open(name);
  repository.putManifest({ bytes, mediaType, digest }, isDigest(reference) ? undefined : reference);
  const tags = registry.settings.tagsAtOnce && isDigest(reference) ? exchange.url.searchParams.getAll('tag') : [];
  for (const tag of tags) repository.putManifest({ bytes, mediaType, digest }, tag);
  const { subject } = content;
  await exchange.answer(201, {
    location: `/v2/${name}/manifests/${digest}`,
    'docker-content-digest': digest,
    ...(tags.length > 0 ? { 'oci-tag': [tags.slice(0, 2).join(', '), ...tags.slice(2)] } : {}),
    ...(subject !== undefined && registry.settings.referrers ? { 'oci-subject': subject.digest } : {}),
  });
}

/** Whether the conditions of a request hold. @see https://www.rfc-editor.org/rfc/rfc9110#section-13.1 */
function holds(exchange: Exchange, current: Digest | undefined): boolean {
  const match = exchange.header('if-match');
  if (exchange.header('if-none-match') === '*' && current !== undefined) return false;
  return match === undefined || match === `"${current}"`;
}

/** What a manifest names, and the repository does not have. Foreign layers need not be there. */
function missingContent(
  content: ManifestContent,
  registry: RegistryState,
  repository: Repository | undefined,
): readonly Digest[] {
  const { checkBlobs, sparseIndex } = registry.settings;
  if (!checkBlobs) return [];
  const layers = (content.layers ?? []).filter((layer) => layer.urls === undefined);
  const blobs = [...(content.config === undefined ? [] : [content.config]), ...layers].map((blob) => blob.digest);
  const fsLayers = (content.fsLayers ?? []).map((layer) => layer.blobSum);
  const children = sparseIndex ? [] : (content.manifests ?? []).map((child) => child.digest);
  return [
    ...[...blobs, ...fsLayers].filter((digest) => repository?.blobs.has(digest) !== true),
    ...children.filter((digest) => repository?.manifests.has(digest) !== true),
  ];
}

/** The content of a manifest, or undefined when it is no JSON object. */
export function parseManifest(bytes: Buffer): ManifestContent | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
