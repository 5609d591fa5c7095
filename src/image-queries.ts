import { ContentMismatchError, type Digest } from './digest/digest.ts';
import type { ReadableImage } from './copy/manifest-reader.ts';
import { imageForPlatform } from './copy/platform-choice.ts';
import { duringOperation, ImgcopyError } from './errors/imgcopy-error.ts';
import type { RequestObserver } from './http/send.ts';
import type { Platform } from './manifest/descriptor.ts';
import { openSource, registryEndpoint, type OpenOptions } from './open-image.ts';
import type { CopierOptions, EndpointOptions } from './options.ts';
import { formatReference, InvalidReferenceError, parseReference, withDefaultTag } from './reference/reference.ts';
import type { Reference, RegistryReference } from './reference/reference.ts';
import { SharedResources } from './shared-resources.ts';
import type { RawManifest } from './types/blob-info.ts';

/** How a registry is asked about its images. */
export interface QueryOptions extends CopierOptions {
  readonly endpoint?: EndpointOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onRequest?: RequestObserver['onRequest'];
}

export interface ImageQueryOptions extends QueryOptions {
  /** The image for this platform. */
  readonly platform?: Platform | undefined;
}

/** An image that is open for questions. */
export interface OpenedImage extends ReadableImage {
  readonly manifest: RawManifest;
}

/**
 * The tags of a repository, a page at a time, in the registry's order.
 * @param repository  `docker://HOST[:PORT]/NAME`, or a bare name.
 * @throws ImgcopyError of kind `not-found` where there is no such repository.
 */
export async function* listTags(repository: string, options: QueryOptions = {}): AsyncGenerator<string> {
  const reference = parseRepository(repository);
  const operation = `listing the tags of ${formatReference(reference)}`;
  await using shared = new SharedResources(options);
  const open = openOptions(shared, options);
  try {
    const access = await shared.access();
    const [{ listTags: pages }, endpoint] = await Promise.all([
      import('./transports/registry/tag-list.ts'),
      registryEndpoint(reference, open),
    ]);
    const scopes = [`repository:${reference.repository}:pull`];
    const reached = await access.endpoint(reference.registry, { ...endpoint, side: 'source', scopes });
    yield* pages(reached, reference.repository, { signal: open.signal });
  } catch (error) {
    const isMissing = error instanceof ImgcopyError && error.kind === 'not-found';
    if (!isMissing) throw duringOperation(operation, error);
    throw new ImgcopyError(operation, {
      code: error.code,
      hint: 'check the name of the repository; it may have to hold an image before it exists',
      cause: error,
    });
  }
}

/**
 * The digest of an image, by a HEAD where that will do.
 * @throws ImgcopyError of kind `not-found` where there is no such image.
 */
export async function getImageDigest(reference: string, options: ImageQueryOptions = {}): Promise<Digest> {
  const parsed = parseImage(reference);
  if (options.platform === undefined && parsed.digest === undefined) {
    const digest = await withSource(parsed, options, ({ source, signal }) => source.getManifestDigest({ signal }));
    if (digest !== undefined) return digest;
  }
  return (await getImageManifest(reference, options)).digest;
}

/** The manifest of an image, its bytes as they are stored. */
export async function getImageManifest(reference: string, options: ImageQueryOptions = {}): Promise<RawManifest> {
  return queryImage(reference, options, ({ manifest }) => Promise.resolve(manifest));
}

/** Opens an image, checks it against the digest that its reference demands, and asks it something. */
export async function queryImage<T>(
  reference: string,
  options: ImageQueryOptions,
  ask: (image: OpenedImage) => Promise<T>,
): Promise<T> {
  const parsed = parseImage(reference);
  return withSource(parsed, options, async ({ source, signal }) => {
    const root = await source.getManifest({ signal });
    if (parsed.digest !== undefined && root.digest !== parsed.digest) {
      throw new ContentMismatchError(`${source.reference} is another image`, parsed.digest, root.digest);
    }
    const { platform } = options;
    const manifest = platform === undefined ? root : await imageForPlatform({ source, signal }, root, platform);
    return ask({ source, manifest, signal });
  });
}

async function withSource<T>(
  reference: Reference,
  options: QueryOptions,
  ask: (opened: Omit<OpenedImage, 'manifest'>) => Promise<T>,
): Promise<T> {
  await using shared = new SharedResources(options);
  const open = openOptions(shared, options);
  try {
    await using source = await openSource(reference, open);
    return await ask({ source, signal: open.signal });
  } catch (error) {
    throw duringOperation(`reading ${formatReference(reference)}`, error);
  }
}

export function openOptions(shared: SharedResources, { endpoint, signal, onRequest }: QueryOptions): OpenOptions {
  return {
    access: shared.access,
    env: shared.env,
    endpoint: endpoint ?? {},
    observer: { onRequest },
    onWarning: shared.warn,
    signal: signal ?? new AbortController().signal,
  };
}

function parseImage(text: string): Reference {
  const reference = parseReference(text);
  return reference.transport === 'docker' ? withDefaultTag(reference) : reference;
}

function parseRepository(text: string): RegistryReference {
  const reference = parseReference(text);
  if (reference.transport !== 'docker') {
    throw new ImgcopyError(`${formatReference(reference)} is a directory, which has no tags`, {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: 'give a repository: docker://HOST/NAME',
    });
  }
  const { tag: _tag, digest: _digest, ...repository } = reference;
  if (reference.tag === undefined && reference.digest === undefined) return repository;
  throw new InvalidReferenceError(text, 'a repository is wanted, without tag and digest', {
    hint: formatReference(repository),
  });
}
