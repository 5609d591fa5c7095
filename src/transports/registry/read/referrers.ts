import { digestAlgorithm, digestOf, type Digest } from '../../../digest/digest.ts';
import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import { requestTarget } from '../../../http/index.ts';
import type { Descriptor } from '../../../manifest/descriptor.ts';
import { parseReferrersIndex, referrersTag } from '../../../manifest/referrers-index.ts';
import type { ListReferrersOptions } from '../../../contract/image-source.ts';
import type { ReferrersPage, RegistryClient } from '../client.ts';
import { RegistryError } from '../registry-error.ts';
import type { DigestTags } from './digest-tags.ts';

export interface RegistryReferrersOptions {
  /** Tells which tags need not be asked for. */
  readonly tags?: Pick<DigestTags, 'mayExist'> | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
}

/**
 * Lists what refers to manifests of a repository: by the referrers API, or else by the index under the referrers tag.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 */
export class RegistryReferrers {
  readonly #client: RegistryClient;
  readonly #options: RegistryReferrersOptions;
  /** Whether there is a referrers API: what the first answer has shown. */
  #hasApi: Promise<boolean> | undefined;

  constructor(client: RegistryClient, options: RegistryReferrersOptions = {}) {
    this.#client = client;
    this.#options = options;
  }

  async *list(subject: Digest, options: ListReferrersOptions = {}): AsyncGenerator<Descriptor> {
    const seen = new Set<string>();
    let page = await this.#firstPage(subject, options);
    if (page === undefined) {
      yield* await this.#listByTag(subject, options);
      return;
    }
    for (;;) {
      yield* page.manifests;
      const { next } = page;
      if (next === undefined || seen.has(requestTarget(next))) return;
      seen.add(requestTarget(next));
      page = await this.#client.getReferrers(subject, { ...options, page: next });
      if (page === undefined) throw missingPage(subject);
    }
  }

  /** Whether what was listed came from the registry, which lists only what is there. */
  async isFromApi(): Promise<boolean> {
    return (await this.#hasApi) ?? false;
  }

  /** Undefined where there is no API, or none for this manifest. */
  async #firstPage(subject: Digest, options: ListReferrersOptions): Promise<ReferrersPage | undefined> {
    if (this.#hasApi !== undefined) {
      return (await this.#hasApi) ? this.#client.getReferrers(subject, options) : undefined;
    }
    const asked = this.#client.getReferrers(subject, options);
    this.#hasApi = asked.then((page) => page !== undefined);
    this.#hasApi.catch(() => (this.#hasApi = undefined));
    return asked;
  }

  async #listByTag(subject: Digest, { signal }: ListReferrersOptions): Promise<readonly Descriptor[]> {
    const tag = referrersTag(subject);
    const { tags, onWarning } = this.#options;
    if (tags !== undefined && (await tags.mayExist([tag])).length === 0) return [];
    try {
      const { bytes, mediaType } = await this.#client.getManifest(tag, { signal });
      const index = parseReferrersIndex(bytes, mediaType);
      if (digestOf(bytes, digestAlgorithm(subject)) === subject) return [];
      if (index !== undefined) return index.manifests;
      onWarning?.(`tag ${tag} is not an index of referrers, and is left alone`);
      return [];
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return [];
      throw error;
    }
  }
}

function missingPage(subject: Digest): ImgcopyError {
  return new ImgcopyError(`a page of what refers to ${subject} is missing`, {
    code: 'ERR_REFERRERS_LIST',
    side: 'source',
    hint: 'try again; the registry may have changed the list meanwhile',
  });
}
