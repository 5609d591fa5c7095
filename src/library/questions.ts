import { ContentMismatchError, type Digest } from '../digest/digest.ts';
import type { ReadableImage } from '../copy/manifest-reader.ts';
import { imageForPlatform } from '../copy/platform-choice.ts';
import { duringOperation, ImgcopyError } from '../errors/imgcopy-error.ts';
import type { ImageQuestionOptions, QuestionOptions } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import { InvalidReferenceError } from '../reference/reference-errors.ts';
import type { SharedResources } from './shared-resources.ts';
import { parseImageName } from '../transports/table.ts';
import type { ImageName, OpenOptions } from '../transports/transport.ts';
import type { RawManifest } from '../contract/blob-info.ts';

/** An image that is open for questions. */
export interface OpenedImage extends ReadableImage {
  readonly manifest: RawManifest;
}

/** See Copier.tags. */
export async function* listTags(
  shared: SharedResources,
  repository: string,
  options: QuestionOptions,
): AsyncGenerator<string> {
  const { name, listTags: pages } = parseRepository(shared, repository);
  const operation = `listing the tags of ${name.toString()}`;
  try {
    yield* pages(openOptions(shared, options));
  } catch (error) {
    const isUnknownToRegistry = error instanceof ImgcopyError && error.code === 'ERR_NOT_FOUND';
    if (!isUnknownToRegistry) throw duringOperation(operation, error);
    throw new ImgcopyError(operation, {
      code: error.code,
      hint: 'check the repository name; many registries create it only with the first push',
      cause: error,
    });
  }
}

/** See Copier.digest. */
export async function findDigest(
  shared: SharedResources,
  reference: string,
  options: ImageQuestionOptions,
): Promise<Digest> {
  const name = parseImageName(reference, shared.transports).withDefaultTag();
  if (options.platform === undefined && name.digest === undefined) {
    const digest = await withSource(shared, name, options, ({ source, signal }) =>
      Promise.resolve(source.getManifestDigest?.({ signal })),
    );
    if (digest !== undefined) return digest;
  }
  const { digest } = await askImage(shared, reference, options, ({ manifest }) => Promise.resolve(manifest));
  return digest;
}

/** Opens an image, checks it against the digest that its reference demands, and asks it something. */
export async function askImage<T>(
  shared: SharedResources,
  reference: string,
  options: ImageQuestionOptions,
  ask: (image: OpenedImage) => Promise<T>,
): Promise<T> {
  const name = parseImageName(reference, shared.transports).withDefaultTag();
  return withSource(shared, name, options, async (image) => {
    const { source, signal } = image;
    const root = await source.getManifest({ signal });
    if (name.digest !== undefined && root.digest !== name.digest) {
      throw new ContentMismatchError(`${source.reference} is another image`, name.digest, root.digest);
    }
    const { platform } = options;
    const manifest = platform === undefined ? root : await imageForPlatform(image, root, platform);
    return ask({ ...image, manifest });
  });
}

async function withSource<T>(
  shared: SharedResources,
  name: ImageName,
  options: QuestionOptions,
  ask: (opened: ReadableImage) => Promise<T>,
): Promise<T> {
  return underOwnSignal(options.signal, async (signal) => {
    try {
      if (name.openSource === undefined) throw cannotBe('read', name);
      await using source = await name.openSource(openOptions(shared, { ...options, signal }));
      return await ask({ source, signal, pool: shared.pool });
    } catch (error) {
      throw duringOperation(`reading ${name.toString()}`, error);
    }
  });
}

export function cannotBe(done: 'read' | 'written', name: ImageName): ImgcopyError {
  return new ImgcopyError(`${name.toString()} cannot be ${done}: ${name.transport}: does not support it`, {
    code: 'ERR_USAGE',
    kind: 'usage',
  });
}

export function openOptions(shared: SharedResources, { endpoint, signal, onRequest }: QuestionOptions): OpenOptions {
  return {
    access: shared.access,
    env: shared.env,
    registries: shared.registries,
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

function parseRepository(shared: SharedResources, text: string): Repository {
  const name = parseImageName(text, shared.transports);
  if (name.listTags === undefined) {
    throw new ImgcopyError(`${name.toString()} has no tags`, {
      code: 'ERR_USAGE',
      kind: 'usage',
      hint: `give a repository: ${shared.transports.flatMap(({ repositoryForm = [] }) => repositoryForm).join(' or ')}`,
    });
  }
  if (name.tag === undefined && name.digest === undefined) return { name, listTags: name.listTags.bind(name) };
  const tag = name.fullName === undefined ? `:${name.tag}` : 'the name of the image';
  throw new InvalidReferenceError(text, 'expected a repository without tag or digest', {
    hint: `leave out ${name.digest === undefined ? tag : `@${name.digest}`}`,
  });
}
