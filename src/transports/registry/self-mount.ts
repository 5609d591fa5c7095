import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';

/**
 * Whether a mount from the destination repository itself tells if a blob is there. `failing`: a fault of the host, which may be over in the next
 * run.
 */
export type SelfMountVerdict = 'untried' | 'proven' | 'useless' | 'failing';

/** What both ways to ask say of one blob. */
export interface Comparison {
  readonly isMounted: boolean;
  /** By HEAD. */
  readonly presence: 'present' | 'absent' | 'unknown';
}

/**
 * What a host does with mounts from a repository to itself, for all copies of a run. Some answer 202 to everything, and some 201; so it is proven
 * only by a 201 for a blob that a HEAD finds, and a 202 for one that it does not. An answer that contradicts a HEAD makes it useless for good.
 */
export class SelfMount {
  #verdict: SelfMountVerdict = 'untried';
  #hasGranted = false;
  #hasDeclined = false;

  get verdict(): SelfMountVerdict {
    return this.#verdict;
  }

  compare({ isMounted, presence }: Comparison): void {
    if (presence === 'unknown' || this.#verdict === 'useless' || this.#verdict === 'failing') return;
    if (isMounted !== (presence === 'present')) return this.disprove();
    if (isMounted) this.#hasGranted = true;
    else this.#hasDeclined = true;
    if (this.#hasGranted && this.#hasDeclined) this.#verdict = 'proven';
  }

  disprove(): void {
    this.#verdict = 'useless';
  }

  /** Notes that the host refused to be asked so. */
  refuse(status: number): void {
    this.#verdict = status < 500 ? 'useless' : 'failing';
  }

  /** Takes over what an earlier run has learnt. */
  recall(cache: BlobInfoCache | undefined, host: string): void {
    if (this.#verdict !== 'untried') return;
    const ability = cache?.hostAbility(host, 'self-mount');
    if (ability !== undefined) this.#verdict = ability === 1 ? 'proven' : 'useless';
  }

  /** Leaves what was learnt to later runs. */
  record(cache: BlobInfoCache | undefined, host: string): void {
    if (this.#verdict === 'proven' || this.#verdict === 'useless')
      cache?.recordHostAbility(host, 'self-mount', this.#verdict === 'proven' ? 1 : 0);
  }
}
