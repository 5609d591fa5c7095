import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';

export interface TagsAtOnceMemory {
  readonly cache: BlobInfoCache | undefined;
  /** `host[:port]` */
  readonly host: string;
}

/**
 * Whether a host writes several tags with one PUT of a manifest by its digest, for all copies of a run. A host that does not know it stores the
 * manifest, and does not name the tags in its answer.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests
 */
export class TagsAtOnce {
  #isKnown: boolean | undefined;

  /** True until the host has shown that it does not. */
  mayWork({ cache, host }: TagsAtOnceMemory): boolean {
    if (this.#isKnown === undefined) {
      const ability = cache?.hostAbility(host, 'tags-at-once');
      if (ability !== undefined) this.#isKnown = ability === 1;
    }
    return this.#isKnown !== false;
  }

  /** Notes what an answer shows, for later runs too. */
  learn(works: boolean, { cache, host }: TagsAtOnceMemory): void {
    if (this.#isKnown === works) return;
    this.#isKnown = works;
    cache?.recordHostAbility(host, 'tags-at-once', works ? 1 : 0);
  }

  /** Notes a refusal. It may be for one of the tags, so it takes nothing back from a host that has done it. */
  refuse(memory: TagsAtOnceMemory): void {
    if (this.#isKnown === undefined) this.learn(false, memory);
  }
}
