import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import { readBody, requestTarget, type HttpRequest } from '../../../http/index.ts';
import type { WaitOptions } from '../../../contract/blob-info.ts';
import { API_ROOT, type RegistryClientOptions } from '../client.ts';
import { nextPage } from './link-header.ts';
import type { ReachedRegistry } from '../registry-access.ts';
import { toRegistryError } from '../registry-error.ts';

/** More than this a page is asked for by nobody: ECR and distribution refuse it. */
const PAGE_SIZE = 1000;
/** Registries without pages list all tags in one answer. In bytes. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

type TagListOptions = WaitOptions & Pick<RegistryClientOptions, 'apiRoot' | 'namespace'>;

/** Some of the tags of a repository. */
export interface TagPage {
  readonly tags: readonly string[];
  readonly isLast: boolean;
}

/** The tags of a repository in the registry's order. See listTagPages. */
export async function* listTags(
  registry: Pick<ReachedRegistry, 'origin' | 'send'>,
  repository: string,
  options: TagListOptions = {},
): AsyncGenerator<string> {
  for await (const { tags } of listTagPages(registry, repository, options)) yield* tags;
}

/**
 * The tags of a repository in the registry's order, a page at a time, as the `Link` of each answer leads on.
 *
 * @throws RegistryError of kind `not-found` where there is no such repository.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags
 */
export async function* listTagPages(
  { origin, send }: Pick<ReachedRegistry, 'origin' | 'send'>,
  repository: string,
  { apiRoot = API_ROOT, namespace, signal }: TagListOptions = {},
): AsyncGenerator<TagPage> {
  const seen = new Set<string>();
  let url: URL | undefined = new URL(`${apiRoot}/${repository}/tags/list?n=${PAGE_SIZE}`, origin);
  if (namespace !== undefined) url.searchParams.set('ns', namespace);
  while (url !== undefined && !seen.has(requestTarget(url))) {
    seen.add(requestTarget(url));
    const request: HttpRequest = {
      method: 'GET',
      url,
      side: 'source',
      authOrigin: origin,
      signal,
      answerBody: { maxBytes: MAX_PAGE_BYTES },
    };
    const response = await send(request);
    if (response.status !== 200) throw await toRegistryError(request, response);
    const tags = tagsOf(await readBody(response, request, MAX_PAGE_BYTES), repository);
    url = nextPage(response, url);
    yield { tags, isLast: url === undefined };
  }
}

function tagsOf(body: Buffer, repository: string): readonly string[] {
  const answer = parseAnswer(body);
  // Where all tags were deleted, registries write null, or leave the field out.
  const tags = answer !== undefined && !('errors' in answer) ? (answer['tags'] ?? []) : undefined;
  const given: readonly unknown[] = Array.isArray(tags) ? tags.filter((tag) => tag !== null) : [undefined];
  if (given.every((tag) => typeof tag === 'string')) return given;
  throw new ImgcopyError(`the tag list of ${repository} is invalid: expected {"tags": ["…"]}`, {
    code: 'ERR_TAG_LIST',
    side: 'source',
    hint: 'the server may not be a registry; check the host and port',
  });
}

function parseAnswer(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const answer: unknown = JSON.parse(body.toString('utf8'));
    return typeof answer === 'object' && answer !== null && !Array.isArray(answer) ? { ...answer } : undefined;
  } catch {
    return undefined;
  }
}
