import type { Digest } from '../digest/digest.ts';
import { nowMs } from '../io/clock.ts';
import type { MemoryAccount, MemoryBudget } from '../io/memory.ts';
import { orAborted } from '../io/or-aborted.ts';
import type { AcquireOptions, Keep, Pool, Release } from '../io/semaphore.ts';
import type { BlobChunkAccessor, BlobStream } from '../contract/blob-chunk-accessor.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import { BadPartialRequestError } from '../contract/errors.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { GetBlobOptions, ImageSource, RepositoryName } from '../contract/image-source.ts';
import { cut, SHARED_RANGES, streamsOf, withLengths, type Demand } from './read-for-all.ts';
import { KeptBytes, SharedBytes } from './shared-bytes.ts';
import { partsOf } from './source-parts.ts';

export interface SharedReadsOptions {
  readonly source: ImageSource;
  /** A blob takes one place, whatever number of destinations it goes to. */
  readonly pool: Pool;
  readonly memory: MemoryBudget;
  /** How long a destination is waited for that does nothing, in ms. */
  readonly patienceMs: number;
  /** Blobs move one at a time, in the order of the manifests: one of the ends is a stream. */
  readonly isInTurn: boolean;
  /** Of all destinations together. */
  readonly signal: AbortSignal;
}

/**
 * One source that several copies of an image read once. A blob is opened when it is known for every destination whether it needs bytes of it, and which;
 * then it is read for all of them at the pace of the slowest. Of destinations that can have each other's blobs (one registry) the first gets the bytes.
 *
 * Nobody waits here with a place of the pool for one who may still need a place. A destination that does nothing for long is not waited for any more: it
 * reads for itself from then on.
 */
export class SharedReads {
  readonly options: SharedReadsOptions;
  readonly #copies: SharingCopy[] = [];
  readonly #blobs = new Map<Digest, SharedBlob>();
  /** Where mounts from one repository to the other are refused: each destination gets the bytes itself. */
  readonly #refusing = new Set<string>();
  /** @internal */
  readonly kept: KeptBytes = new KeptBytes();
  readonly #everyLook = Promise.withResolvers<void>();

  constructor(options: SharedReadsOptions) {
    this.options = options;
  }

  /** Adds a destination; to be called for each, in the order given, before the first of them begins. */
  add(destination: ImageDestination): SharingCopy {
    const copy = new SharingCopy(this, destination, this.#copies.length);
    this.#copies.push(copy);
    return copy;
  }

  /** @internal */
  get copies(): readonly SharingCopy[] {
    return this.#copies;
  }

  /** @internal */
  blob(info: BlobInfo): SharedBlob {
    let blob = this.#blobs.get(info.digest);
    if (blob === undefined) this.#blobs.set(info.digest, (blob = new SharedBlob(this, info)));
    return blob;
  }

  /** @internal Resolves when every destination was looked at, or is not waited for. */
  async waitForLooks(signal: AbortSignal): Promise<void> {
    const { patienceMs } = this.options;
    const timer = setTimeout(() => this.#everyLook.resolve(), patienceMs);
    try {
      await orAborted(this.#everyLook.promise, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @internal To be called whenever a copy has changed. */
  review(): void {
    if (this.#copies.every((copy) => copy.hasLooked || copy.isOver)) this.#everyLook.resolve();
    for (const blob of this.#blobs.values()) blob.review();
    this.resolveStandstill();
  }

  /** @internal In turn, a copy works for one blob at a time: with all of them waiting for each other, one has to go first. */
  resolveStandstill(): void {
    if (!this.options.isInTurn) return;
    const working = this.#copies.filter((copy) => !copy.isOver && !copy.isLeftAlone);
    if (working.length === 0 || working.some((copy) => !copy.isBlocked)) return;
    for (const blob of this.#blobs.values()) if (blob.goAhead()) return;
  }

  /** @internal */
  leaveAlone(copy: SharingCopy): void {
    for (const blob of this.#blobs.values()) blob.leaveAlone(copy);
    this.review();
  }

  /** @internal */
  refusesMounts(place: string): boolean {
    return this.#refusing.has(place);
  }

  /** @internal */
  noteRefusal(place: string): void {
    this.#refusing.add(place);
  }
}

/** What one destination's copy has to do with the others. */
export class SharingCopy {
  readonly shared: SharedReads;
  readonly destination: ImageDestination;
  readonly order: number;
  hasLooked = false;
  isOver = false;
  /** Nobody waits for it any more, and it reads what it needs itself. */
  isLeftAlone = false;
  readonly #waiting = new Set<BlobShare>();
  activeAt: number = nowMs();
  #wanted: ReadonlySet<Digest> | undefined;

  constructor(shared: SharedReads, destination: ImageDestination, order: number) {
    this.shared = shared;
    this.destination = destination;
    this.order = order;
  }

  get isInTurn(): boolean {
    return this.shared.options.isInTurn;
  }

  /** Whether it waits somewhere for others. */
  get isBlocked(): boolean {
    return [...this.#waiting].some((share) => share.isBlocked);
  }

  /** The destination was looked at. Resolves when all were: nothing is written before. */
  async looked(signal: AbortSignal): Promise<void> {
    this.hasLooked = true;
    this.shared.review();
    await this.shared.waitForLooks(signal);
  }

  /** Tells all blobs that it wants: for any other one it is not waited for. */
  expect(digests: ReadonlySet<Digest>): void {
    this.#wanted = digests;
    this.shared.review();
  }

  /** Whether it may still come for a blob. */
  mayWant(digest: Digest): boolean {
    return !this.isOver && !this.isLeftAlone && (this.#wanted?.has(digest) ?? true);
  }

  /** Begins with a blob. The others know from now on that it comes. */
  join(info: BlobInfo): BlobShare {
    this.touch();
    return this.shared.blob(info).join(this);
  }

  /** The copy has ended, well or not. */
  end(): void {
    this.isOver = true;
    this.shared.review();
  }

  /** @internal */
  leaveAlone(): void {
    this.isLeftAlone = true;
    this.shared.leaveAlone(this);
  }

  /** @internal */
  touch(): void {
    this.activeAt = nowMs();
  }

  /** @internal */
  async waiting<T>(share: BlobShare, promise: Promise<T>, signal: AbortSignal): Promise<T> {
    this.#waiting.add(share);
    this.shared.resolveStandstill();
    try {
      return await orAborted(promise, signal);
    } finally {
      this.#waiting.delete(share);
      this.touch();
    }
  }
}

/** A blob that several destinations may want. */
class SharedBlob {
  readonly info: BlobInfo;
  readonly shared: SharedReads;
  readonly bytes: SharedBytes;
  readonly #shares = new Map<SharingCopy, BlobShare>();
  /** All that have come for it, in time or not. */
  readonly #joined = new Set<SharingCopy>();
  readonly #arrival = Promise.withResolvers<void>();
  #hasArrived = false;
  /** Its bytes are on their way, or nobody wants them: whoever comes now reads for itself. */
  #isClosed = false;
  #place: Promise<Keep> | undefined;
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(shared: SharedReads, info: BlobInfo) {
    this.shared = shared;
    this.info = info;
    const { source, memory, signal } = shared.options;
    const isAwaited = (): boolean => shared.copies.some((copy) => !copy.isOver && !this.#joined.has(copy));
    this.bytes = new SharedBytes(info, { source, memory, signal, kept: shared.kept, isAwaited });
  }

  get arrival(): Promise<void> {
    return this.#arrival.promise;
  }

  get hasArrived(): boolean {
    return this.#hasArrived;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  join(copy: SharingCopy): BlobShare {
    const isLate = this.#isClosed || this.#shares.has(copy) || copy.isLeftAlone;
    const share = new BlobShare(this, copy, isLate);
    if (!isLate) this.#shares.set(copy, share);
    this.#joined.add(copy);
    this.#watch();
    this.changed();
    return share;
  }

  /** To be called whenever one of its shares has changed. */
  changed(): void {
    this.review();
    this.shared.resolveStandstill();
  }

  /** Looks whether what others wait for has come. */
  review(): void {
    if (this.#isClosed) return;
    if (!this.#hasArrived) {
      const { copies } = this.shared;
      if (copies.some((copy) => copy.mayWant(this.info.digest) && !this.#shares.has(copy))) return;
      this.#arrive();
    }
    const shares = [...this.#shares.values()].filter((share) => !share.isLate);
    if (shares.some(({ state }) => state === 'deciding')) return;
    const asking = shares.filter(({ state }) => state === 'asking');
    if (asking.length > 0) this.#read(asking);
    else if (shares.every(({ state }) => state === 'over')) this.#close();
  }

  /** Ends a wait for those who do not come, if there is one. */
  goAhead(): boolean {
    if (this.#isClosed || ![...this.#shares.values()].some((share) => share.isBlocked)) return false;
    if (this.#hasArrived)
      for (const share of this.#shares.values()) if (share.state === 'deciding') share.isLate = true;
    this.#arrive();
    this.review();
    return true;
  }

  leaveAlone(copy: SharingCopy): void {
    this.#shares.get(copy)?.leaveAlone();
  }

  followersOf(leader: BlobShare): readonly BlobShare[] {
    return [...this.#shares.values()].filter((share) => share.leader === leader);
  }

  /** The one among those of a place that gets the bytes; undefined where that is the share itself. */
  leaderOf(share: BlobShare, place: string): BlobShare | undefined {
    const [first] = [...this.#shares.values()]
      .filter((other) => !other.isLate && other.place === place && !other.hasFailed && !other.copy.isLeftAlone)
      .toSorted((one, other) => one.copy.order - other.copy.order);
    return first === share ? undefined : first;
  }

  /** A place in the pool, one for all who are there in time. */
  async acquire(options: AcquireOptions): Promise<Release> {
    this.#holders += 1;
    this.#place ??= this.shared.options.pool.acquire({ ...options, signal: this.shared.options.signal });
    let isHeld = true;
    const place = this.#place;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      this.#holders -= 1;
      if (this.#holders > 0) return;
      // Whoever comes after that needs another one.
      this.#place = undefined;
      // Whoever waited for a place that never came was told.
      place.then(
        (giveBack) => giveBack(),
        () => undefined,
      );
    };
    try {
      await orAborted(place, options.signal);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  #arrive(): void {
    if (this.#hasArrived) return;
    this.#hasArrived = true;
    this.#arrival.resolve();
  }

  #read(shares: readonly BlobShare[]): void {
    this.#close();
    const takers = shares.flatMap((share) => {
      share.state = 'taking';
      return share.demand === undefined ? [] : [{ demand: share.demand, onTaken: () => share.copy.touch() }];
    });
    this.bytes.read(takers);
  }

  #close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.bytes.endPlanning();
  }

  /** From time to time, stops waiting for destinations that do nothing. */
  #watch(): void {
    if (this.#isClosed || this.#timer !== undefined) return;
    const { patienceMs } = this.shared.options;
    const look = (): void => {
      this.#timer = undefined;
      if (this.#isClosed) return;
      const shares = [...this.#shares.values()];
      if (shares.every(({ state }) => state === 'over')) return;
      if (shares.some((share) => share.isBlocked)) {
        const since = nowMs() - patienceMs;
        for (const copy of this.shared.copies) {
          const share = this.#shares.get(copy);
          const isAwaited =
            share === undefined
              ? copy.mayWant(this.info.digest) && !copy.isBlocked
              : share.state === 'deciding' && !share.isLate && !share.isBlocked;
          if (isAwaited && copy.activeAt <= since) copy.leaveAlone();
        }
      }
      this.#watch();
    };
    this.#timer = setTimeout(look, patienceMs);
    this.#timer.unref();
  }
}

/** One destination's part in a blob. */
export class BlobShare {
  readonly copy: SharingCopy;
  readonly #blob: SharedBlob;
  /** `deciding`: it may need bytes. `following`: another one gets them first. */
  state: 'deciding' | 'following' | 'asking' | 'taking' | 'over' = 'deciding';
  /** It is not waited for, and reads for itself. */
  isLate: boolean;
  isWaiting = false;
  hasFailed = false;
  demand: Demand | undefined;
  /** The one that it follows. */
  leader: BlobShare | undefined;
  #release: Release | undefined;
  readonly #end = Promise.withResolvers<boolean>();

  constructor(blob: SharedBlob, copy: SharingCopy, isLate: boolean) {
    this.#blob = blob;
    this.copy = copy;
    this.isLate = isLate;
  }

  /** Whether it waits for the decision of another one. */
  get isBlocked(): boolean {
    // A wait may be over before it has been noticed.
    const isOver = this.isLate || this.#blob.isClosed || (this.state === 'deciding' && this.#blob.hasArrived);
    return this.isWaiting && !isOver;
  }

  /** Of all that is done for the blob, at whatever destination. */
  get memory(): MemoryAccount {
    return this.#blob.bytes.memory;
  }

  /** Where its destination's blobs can be had by other destinations. */
  get place(): string | undefined {
    return this.copy.destination.blobPlace;
  }

  /** Waits until it is known who comes for the blob, then for a place in the pool. */
  async begin(options: AcquireOptions & { readonly signal: AbortSignal }): Promise<Release> {
    if (this.isLate) return await this.copy.shared.options.pool.acquire(options);
    await this.#waiting(this.#blob.arrival, options.signal);
    if (this.isLate) return await this.copy.shared.options.pool.acquire(options);
    return (this.#release = await this.#blob.acquire(options));
  }

  /**
   * Waits for the destination that gets the bytes first, of those that can have each other's blobs.
   * @returns whether another one has it now; then its repository, where it is one.
   */
  async follow(signal: AbortSignal): Promise<{ readonly repository: RepositoryName | undefined } | undefined> {
    const { place } = this;
    if (place === undefined || this.isLate) return undefined;
    for (;;) {
      if (this.copy.shared.refusesMounts(place)) return undefined;
      const leader = this.#blob.leaderOf(this, place);
      if (leader === undefined) return undefined;
      this.state = 'following';
      this.leader = leader;
      this.#blob.changed();
      const isThere = await this.#waiting(leader.#end.promise, signal);
      if (isThere) return { repository: leader.copy.destination.repository };
    }
  }

  /** The blob could not be had from the destination that has it. */
  noteRefusal(): void {
    if (this.place !== undefined) this.copy.shared.noteRefusal(this.place);
  }

  /** The source's blob as parts, to plan with: what several destinations ask for is read once. */
  get planning(): BlobChunkAccessor | undefined {
    const parts = partsOf(this.copy.shared.options.source);
    if (parts === undefined) return undefined;
    return {
      rangeSupport: parts.rangeSupport,
      getBlobAt: async (info, chunks, { signal } = {}) => {
        const read = await orAborted(this.#blob.bytes.readForPlan(parts, withLengths(info, chunks)), signal);
        if (read instanceof BadPartialRequestError) return { kind: 'refused', reason: read };
        return { kind: 'ranges', readers: streamsOf(read) };
      },
    };
  }

  /** The source's blob as parts, to be put: they come out of the one read. */
  get accessor(): BlobChunkAccessor {
    return {
      rangeSupport: SHARED_RANGES,
      getBlobAt: async (info, chunks, { signal } = {}) => {
        const ranges = withLengths(info, chunks);
        const { stream } = await this.#ask({ ranges, isWhole: false, options: {} }, signal);
        return { kind: 'ranges', readers: cut(stream, ranges) };
      },
    };
  }

  /** The source's blob as one stream. */
  async getBlob({ size }: BlobInfo, options: GetBlobOptions): Promise<BlobStream> {
    const { signal, ...others } = options;
    const ranges = size === 0 ? [] : [{ offset: 0, length: size }];
    return await this.#ask({ ranges, isWhole: true, options: others }, signal);
  }

  /** It is done with the blob. @param isThere  whether the destination has it now. */
  end(isThere: boolean): void {
    this.state = 'over';
    this.hasFailed = !isThere;
    this.leader = undefined;
    this.copy.touch();
    this.#stopLeading(isThere);
    this.#blob.changed();
  }

  /** @internal It is not waited for any more. */
  leaveAlone(): void {
    if (this.state !== 'deciding' && this.state !== 'following') return;
    this.isLate = true;
    this.#stopLeading(false);
  }

  #stopLeading(isThere: boolean): void {
    this.#end.resolve(isThere);
    for (const follower of this.#blob.followersOf(this)) {
      // It decides again: the blob is not read without it before that.
      follower.state = 'deciding';
      follower.leader = undefined;
    }
  }

  async #ask(
    wanted: Pick<Demand, 'ranges' | 'isWhole' | 'options'>,
    signal: AbortSignal | undefined,
  ): Promise<BlobStream> {
    const demand: Demand = { ...wanted, given: Promise.withResolvers(), isGivenUp: false };
    this.copy.touch();
    if (this.isLate || this.#blob.isClosed || this.copy.isLeftAlone) {
      this.isLate = true;
      // The others need not wait for the place that it has.
      this.#release?.();
      this.#blob.bytes.read([{ demand }]);
    } else {
      this.demand = demand;
      this.state = 'asking';
      this.#blob.changed();
    }
    try {
      return await this.#waiting(demand.given.promise, signal ?? this.copy.shared.options.signal);
    } catch (error) {
      demand.isGivenUp = true;
      demand.given.promise.then(
        ({ stream }) => stream.destroy(),
        () => undefined,
      );
      throw error;
    }
  }

  async #waiting<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    this.isWaiting = true;
    try {
      return await this.copy.waiting(this, promise, signal);
    } finally {
      this.isWaiting = false;
    }
  }
}
