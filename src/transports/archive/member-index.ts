import { InvalidArchiveError, quoteName } from './archive-error.ts';
import type { Member } from './read-members.ts';

/** Where the bytes of a member are in a file. */
export interface Place {
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
}

/** The members of an archive by their names. */
export class MemberIndex {
  readonly #reference: string;
  readonly #members = new Map<string, Omit<Member, 'name'>>();

  /** @param reference  the archive, for messages. */
  constructor(reference: string) {
    this.#reference = reference;
  }

  get names(): IterableIterator<string> {
    return this.#members.keys();
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** Of a member that comes twice the first counts: blobs are checked by their digests, and what lists them must not be in doubt. */
  add({ name, ...member }: Member): void {
    if (!this.#members.has(name)) this.#members.set(name, member);
    else if (!name.startsWith('blobs/') && member.kind === 'file' && name.endsWith('.json')) throw this.#twice(name);
  }

  /**
   * Where a member's bytes are. One link is followed, as `docker save` writes them for layers that images share.
   * @throws InvalidArchiveError for what is no file.
   */
  find(name: string): Place | undefined {
    const member = this.#members.get(name);
    if (member?.kind !== 'link') return member && this.#placeOf(name, member);
    const target = this.#members.get(member.target ?? '');
    if (target?.kind === 'file') return this.#placeOf(name, target);
    throw new InvalidArchiveError(
      `${quoteName(name)} in ${this.#reference} is a link to ${quoteName(member.target ?? '')}, which is not a file in the archive`,
    );
  }

  #placeOf(name: string, { kind, offset, size }: Omit<Member, 'name'>): Place {
    if (kind === 'file') return { offset, size };
    throw new InvalidArchiveError(`${quoteName(name)} in ${this.#reference} is not a regular file`);
  }

  #twice(name: string): InvalidArchiveError {
    return new InvalidArchiveError(`${this.#reference} has two members ${quoteName(name)}`, {
      hint: 'save the image again to a new file; tar --append leaves the old members in the archive',
    });
  }
}
