import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import { repositoryText } from '../../../contract/image-source.ts';
import { compose } from '../../../http/index.ts';
import { formatRegistryReference, type RegistryReference } from '../../../reference/registry-reference.ts';
import type { OpenOptions } from '../../transport.ts';
import { hasten } from '../hasten.ts';
import type { RegistryAccess } from '../registry-access.ts';
import type { Endpoint } from '../registry-endpoint.ts';
import { listTags } from './tag-list.ts';

/**
 * The tags of a repository: those of the first of its addresses that answers.
 * @throws what the last one does.
 */
export async function* listMirroredTags(
  access: RegistryAccess,
  reference: RegistryReference,
  endpoints: readonly Endpoint[],
  { observer, signal }: Pick<OpenOptions, 'observer' | 'signal'>,
): AsyncGenerator<string> {
  const able = endpoints.filter(({ resolvesTags = true }) => resolvesTags);
  for (const [index, endpoint] of able.entries()) {
    const next = able[index + 1];
    let isAnswering = false;
    try {
      const { registry, repository } = endpoint.address;
      const scopes = [`repository:${repository}:pull`];
      const { origin, send } = await access.reach(registry, { ...endpoint, observer, signal, side: 'source', scopes });
      const reached = { origin, send: next === undefined ? send : compose(send, hasten) };
      for await (const tag of listTags(reached, repository, { ...endpoint, signal })) {
        isAnswering = true;
        yield tag;
      }
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (next === undefined || isAnswering || !(error instanceof ImgcopyError)) throw error;
      observer.onFallback?.({
        address: repositoryText(endpoint.address),
        what: `listing the tags of ${formatRegistryReference(reference)}`,
        why: error.message,
        next: repositoryText(next.address),
      });
    }
  }
}
