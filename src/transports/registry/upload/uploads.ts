import { digestAlgorithm, type Digest } from '../../../digest/digest.ts';
import type { RequestObserver } from '../../../http/index.ts';
import { Attempts, type RetryPolicy } from '../../../retry/attempts.ts';
import type { LeftPart } from '../../../partial/plan/partial-plan.ts';
import type { BlobInfo, WaitOptions } from '../../../contract/blob-info.ts';
import type { RegistryClient, UploadLocation } from '../client.ts';
import type { NotedUploads } from './noted-uploads.ts';
import type { UploadLimits } from './upload-limits.ts';
import { UploadSession } from './upload-session.ts';

export interface UploadsOptions {
  readonly limits: UploadLimits;
  /** Uploads that outlive a run. */
  readonly noted: NotedUploads;
  /** Whether the registry is asked how much of a noted upload it has, before anyone claims it. Default false: what was noted has to do. */
  readonly asksStatus?: boolean | undefined;
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
}

export interface MountOptions extends WaitOptions {
  /** The repository of this registry that has the blob. */
  readonly from: string;
  readonly scopes?: readonly string[] | undefined;
}

/**
 * All uploads of one repository that a run has opened. What is still open when it is disposed of is cancelled, so none is left behind on any way
 * out.
 */
export class Uploads implements AsyncDisposable {
  readonly #client: RegistryClient;
  readonly #options: UploadsOptions;
  readonly #open = new Set<UploadSession>();
  readonly #opening = new Set<Promise<unknown>>();
  /** Opened by a mount that was declined, for the blob that turned out to be missing. */
  readonly #spare = new Map<Digest, UploadSession>();

  constructor(client: RegistryClient, options: UploadsOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** The tries of one blob's upload. */
  attempts(digest: Digest, signal: AbortSignal | undefined): Attempts {
    const { policy, observer } = this.#options;
    const what = `upload of blob ${digest}`;
    return new Attempts({
      policy,
      signal,
      notify: (next) => observer?.onRetry?.({ side: 'destination', what, ...next }),
    });
  }

  /** An upload for a blob, which is the caller's from now on: the one that a mount left, or a new one. */
  async open(digest: Digest, options: WaitOptions = {}): Promise<UploadSession> {
    const spare = this.#spare.get(digest);
    this.#spare.delete(digest);
    const session = spare ?? (await this.#start(digest, options));
    if (session === 'mounted') throw new Error('a plain POST cannot mount');
    return session;
  }

  /** Opens an upload beforehand, for who will want it. */
  async prepare(digest: Digest, options: WaitOptions = {}): Promise<void> {
    if (!this.#spare.has(digest)) this.#spare.set(digest, await this.open(digest, options));
  }

  /** Asks for a mount. Where it is declined, and an upload opened instead, that is kept for the blob. */
  async mount(digest: Digest, { from, scopes, signal }: MountOptions): Promise<'mounted' | 'declined'> {
    const session = await this.#start(digest, { mount: { digest, from }, scopes, signal });
    if (session === 'mounted') return 'mounted';
    await this.drop(digest);
    this.#spare.set(digest, session);
    return 'declined';
  }

  /** Cancels the upload that was kept for a blob, if any. */
  async drop(digest: Digest): Promise<void> {
    const spare = this.#spare.get(digest);
    this.#spare.delete(digest);
    await spare?.cancel();
  }

  /** What an earlier run left of a blob. Nothing is claimed. */
  async left(info: BlobInfo, { signal }: WaitOptions = {}): Promise<LeftPart | undefined> {
    const { noted, asksStatus } = this.#options;
    const left = await noted.left(info);
    if (left === undefined || !asksStatus) return left;
    const status = left.location && (await this.#client.uploadStatus(left.location, { signal }));
    const hasPart = typeof status === 'object' && status.offset > 0 && status.offset <= info.size;
    return hasPart ? { length: status.offset } : undefined;
  }

  /** The upload that an earlier run left, which is the caller's from now on. Its status is to be asked. */
  async claim(info: BlobInfo): Promise<UploadSession | undefined> {
    const location = await this.#options.noted.claim(info);
    return location && this.#sessionAt(info.digest, location, info);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // After an abort, a request may still be on its way whose answer opens one.
    await Promise.allSettled(this.#opening);
    this.#spare.clear();
    await Promise.all([...this.#open].map((session) => session.cancel()));
  }

  async #start(
    digest: Digest,
    options: NonNullable<Parameters<RegistryClient['startUpload']>[0]>,
  ): Promise<UploadSession | 'mounted'> {
    const opening = this.#client
      .startUpload({ ...options, algorithm: digestAlgorithm(digest) })
      .then((answer) => (answer === 'mounted' ? answer : this.#sessionAt(digest, answer)));
    this.#opening.add(opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(opening);
    }
  }

  #sessionAt(digest: Digest, location: UploadLocation, notedAs?: BlobInfo): UploadSession {
    const { limits, noted } = this.#options;
    const onEnd = (): void => void this.#open.delete(session);
    const session = new UploadSession({ client: this.#client, limits, noted, digest, location, notedAs, onEnd });
    this.#open.add(session);
    return session;
  }
}
