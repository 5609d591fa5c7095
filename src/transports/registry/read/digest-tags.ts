import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import type { TagPage } from './tag-list.ts';

/** Tags that belong to a digest: `sha256-…`, whatever comes after that. */
const DIGEST_TAG = /^sha(?:256|512)-[0-9a-f]{64}/;
/** A page of tags costs as much as so many requests for tags by their names, which go out at once. */
const NAMES_A_PAGE = 16;

/**
 * Which of the tags that belong to digests exist. A repository's list of tags tells it for all of them, in one request as a rule. Where it has many pages,
 * it costs more than it saves.
 */
export class DigestTags {
  readonly #pages: AsyncIterator<TagPage>;
  readonly #found = new Set<string>();
  #wanted = 0;
  #read = 0;
  #state: 'partly' | 'complete' | 'useless' = 'partly';
  #reading: Promise<void> = Promise.resolve();

  /** @param pages  of the list of tags; nothing is asked for before it is wanted. */
  constructor(pages: AsyncIterable<TagPage>) {
    this.#pages = pages[Symbol.asyncIterator]();
  }

  /** Those of the names that exist, as far as that is known: what is not known stays. */
  async mayExist(names: readonly string[]): Promise<readonly string[]> {
    this.#wanted += names.length;
    this.#reading = this.#reading.then(() => this.#readOn());
    await this.#reading;
    return this.#state === 'complete' ? names.filter((name) => this.#found.has(name)) : names;
  }

  async #readOn(): Promise<void> {
    try {
      while (this.#state === 'partly' && this.#read <= this.#wanted / NAMES_A_PAGE) {
        const page = await this.#pages.next();
        this.#read += 1;
        for (const tag of page.value?.tags ?? []) if (DIGEST_TAG.test(tag)) this.#found.add(tag);
        if (page.done || page.value.isLast) this.#state = 'complete';
      }
    } catch (error) {
      // A registry need not let everybody list tags. An abort, or a rate limit, is met again with the next request.
      if (!(error instanceof ImgcopyError)) throw error;
      this.#state = 'useless';
    }
  }
}
