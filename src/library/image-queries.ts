import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import type { ReadableImage } from '../copy/manifest-reader.ts';
import { imageForPlatform } from '../copy/platform-choice.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { RequestObserver } from '../http/send/send.ts';
import type { Platform } from '../manifest/descriptor.ts';
import type { CopierOptions } from './options.ts';
import { InvalidReferenceError } from '../reference/reference-errors.ts';
import { SharedResources } from './shared-resources.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName, OpenOptions } from '../transports/transport.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { EndpointOptions } from '../contract/endpoint-options.ts';

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
  const { name, listTags: pages } = parseRepository(repository);
  const operation = `listing the tags of ${name.toString()}`;
  await using shared = new SharedResources(options);
  try {
    yield* pages(openOptions(shared, options));
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
  const name = parseImageName(reference).withDefaultTag();
  if (options.platform === undefined && name.digest === undefined) {
    const digest = await withSource(name, options, ({ source, signal }) => source.getManifestDigest({ signal }));
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
  const name = parseImageName(reference).withDefaultTag();
  return withSource(name, options, async ({ source, signal }) => {
    const root = await source.getManifest({ signal });
    if (name.digest !== undefined && root.digest !== name.digest) {
      throw new ContentMismatchError(`${source.reference} is another image`, name.digest, root.digest);
    }
    const { platform } = options;
    const manifest = platform === undefined ? root : await imageForPlatform({ source, signal }, root, platform);
    return ask({ source, manifest, signal });
  });
}

async function withSource<T>(
  name: ImageName,
  options: QueryOptions,
  ask: (opened: Omit<OpenedImage, 'manifest'>) => Promise<T>,
): Promise<T> {
  await using shared = new SharedResources(options);
  const open = openOptions(shared, options);
  try {
    await using source = await name.openSource(open);
    return await ask({ source, signal: open.signal });
  } catch (error) {
    throw duringOperation(`reading ${name.toString()}`, error);
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

interface Repository {
  readonly name: ImageName;
  readonly listTags: (options: OpenOptions) => AsyncIterable<string>;
}

function parseRepository(text: string): Repository {
  const name = parseImageName(text);
  if (name.listTags === undefined) {
    throw new ImgcopyError(`${name.toString()} has no tags`, {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: 'give a repository of a registry: docker://HOST/NAME',
    });
  }
  if (name.tag === undefined && name.digest === undefined) return { name, listTags: name.listTags.bind(name) };
  throw new InvalidReferenceError(text, 'expected a repository without tag or digest', {
    hint: `leave out ${name.digest === undefined ? `:${name.tag}` : `@${name.digest}`}`,
  });
}
