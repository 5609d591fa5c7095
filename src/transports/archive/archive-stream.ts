import type { Readable } from 'node:stream';
import type { WaitOptions } from '../../contract/blob-info.ts';
import type { OnBlobAhead } from '../../contract/image-source.ts';
import { OneAtATime } from '../../io/one-at-a-time.ts';
import { MAX_SMALL_BYTES, type Archive, type OpenMember, type OpenMemberOptions } from './archive.ts';
import { InvalidArchiveError, quoteName } from './archive-error.ts';
import { readMembers, type PassingMember } from './read-members.ts';
import { Spool } from './spool.ts';
import { type MemberWatch, watchLayer } from './watch-layer.ts';

export interface ArchiveStreamOptions {
  /** Told of the layers among the members that have to wait. Default: they just wait. */
  readonly onBlobAhead?: OnBlobAhead | undefined;
}

/**
 * An archive that goes by once. What comes before it is asked for waits in a file without a name; small members do in any case, for they may be asked
 * for twice.
 */
export class ArchiveStream implements Archive {
  readonly reference: string;
  readonly isStream = true;
  readonly #stream: Readable;
  readonly #members: AsyncGenerator<PassingMember>;
  readonly #spool: Spool;
  readonly #onBlobAhead: OnBlobAhead | undefined;
  /** Large members that were handed out as they came. */
  readonly #gone = new Set<string>();
  readonly #turns = new OneAtATime<'turn'>();
  /** The member that was handed out and may not have been read to its end. */
  #current: Readable | undefined;

  /** @param stream  destroyed when the archive is disposed of. */
  constructor(stream: Readable, reference: string, { onBlobAhead }: ArchiveStreamOptions = {}) {
    this.reference = reference;
    this.#stream = stream;
    this.#members = readMembers(stream, reference);
    this.#spool = new Spool(reference);
    this.#onBlobAhead = onBlobAhead;
  }

  async firstOf(names: readonly string[], { signal }: WaitOptions = {}): Promise<string | undefined> {
    return await this.#turn(async () => {
      const isHere = (): string | undefined => names.find((name) => this.#spool.has(name));
      while (isHere() === undefined && (await this.#keepNext(signal)));
      return isHere();
    });
  }

  has(name: string): boolean {
    return this.#spool.has(name);
  }

  async names({ signal }: WaitOptions = {}): Promise<readonly string[]> {
    return await this.#turn(async () => {
      while (await this.#keepNext(signal));
      return [...this.#spool.names];
    });
  }

  async sizeOf(name: string, { signal }: WaitOptions = {}): Promise<number | undefined> {
    return await this.#turn(async () => {
      while (!this.#spool.has(name) && (await this.#keepNext(signal)));
      return this.#spool.find(name)?.size;
    });
  }

  async open(name: string, { givesBack, signal }: OpenMemberOptions = {}): Promise<OpenMember | undefined> {
    return await this.#turn(async () => {
      for (;;) {
        const kept = this.#spool.open(name, { givesBack, signal });
        if (kept !== undefined) return kept;
        if (this.#gone.has(name)) throw this.#cameOnce(name);
        const member = await this.#next(signal);
        if (member === undefined) return undefined;
        if (member.name === name && member.kind === 'file' && member.size > MAX_SMALL_BYTES) {
          this.#gone.add(name);
          this.#current = member.open({ givesBack });
          return { stream: this.#current, size: member.size };
        }
        await this.#keep(member, signal);
      }
    });
  }

  async finish({ signal }: WaitOptions = {}): Promise<void> {
    await this.#turn(async () => {
      while ((await this.#next(signal)) !== undefined);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.destroy();
    this.#current?.destroy();
    // Who is in the middle of a member ends with an error first.
    await this.#members.return(undefined).catch(() => undefined);
    await this.#spool[Symbol.asyncDispose]();
  }

  /** One question at a time moves the stream on. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.run('turn', work);
  }

  async #keepNext(signal: AbortSignal | undefined): Promise<boolean> {
    const member = await this.#next(signal);
    if (member === undefined) return false;
    await this.#keep(member, signal);
    return true;
  }

  async #keep(member: PassingMember, signal: AbortSignal | undefined): Promise<void> {
    await this.#spool.keep(member, { signal, watch: this.#watch(member) });
  }

  #watch({ name, size }: PassingMember): MemberWatch | undefined {
    const onBlobAhead = this.#onBlobAhead;
    if (onBlobAhead === undefined) return undefined;
    return watchLayer(name, (digest) => {
      let isWhole = false;
      const open = ({ signal }: WaitOptions = {}): Readable => {
        const stream = this.#spool.follow(name, { isWhole, signal });
        isWhole = true;
        return stream;
      };
      onBlobAhead({ digest, size, open });
    });
  }

  async #next(signal: AbortSignal | undefined): Promise<PassingMember | undefined> {
    signal?.throwIfAborted();
    this.#current = undefined;
    const { done, value } = await this.#members.next();
    return done === true ? undefined : value;
  }

  #cameOnce(name: string): InvalidArchiveError {
    return new InvalidArchiveError(`${quoteName(name)} in ${this.reference} has come by already`, {
      hint: 'write the stream to a file first, and copy from that',
    });
  }
}
