import type { UploadState, UploadTarget } from '../../../cache/upload-state.ts';
import type { Digest } from '../../../digest/digest.ts';
import { exactText, resolveUrl } from '../../../http/index.ts';
import type { LeftPart } from '../../../partial/plan/partial-plan.ts';
import type { BlobInfo } from '../../../contract/blob-info.ts';
import type { RepositoryName } from '../../../contract/image-source.ts';
import type { UploadLocation } from '../client.ts';

/** Shorter blobs are sooner sent again than found again, in bytes. */
const MIN_NOTED_BYTES = 4 * 1024 * 1024;
/** What was sent is left to a later run from here on, and cancelled below, in bytes: the registry may have received less. */
export const MIN_LEFT_BYTES: number = 16 * 1024 * 1024;

/**
 * The uploads of one repository that are noted down, so that a later run can resume them when this one is cut short. While one is under way it
 * belongs to this run.
 */
export class NotedUploads {
  readonly #open: () => Promise<UploadState>;
  readonly #origin: string;
  readonly #repository: RepositoryName;
  /** Where each blob's upload is, as noted. */
  readonly #noted = new Map<Digest, string>();

  /** @param open  opens the state file, the first time that a blob is large enough for it. */
  constructor(open: () => Promise<UploadState>, origin: string, repository: RepositoryName) {
    this.#open = open;
    this.#origin = origin;
    this.#repository = repository;
  }

  /** Notes an upload that this run is about to write to, in place of what was noted for the blob; one at another origin cannot be claimed. */
  async note(info: BlobInfo, { url }: UploadLocation): Promise<void> {
    const location = exactText(url);
    if (info.size < MIN_NOTED_BYTES || this.#noted.get(info.digest) === location) return;
    await this.forget(info);
    if (url.origin !== this.#origin) return;
    const state = await this.#open();
    const isNoted = state.remember({ ...this.#target(info), size: info.size, location, offset: 0 });
    if (isNoted) this.#noted.set(info.digest, location);
  }

  /** What an earlier run left of a blob, as it was noted: one that was killed noted less than it had sent. Nothing is claimed. */
  async left(info: BlobInfo): Promise<(LeftPart & { readonly location: UploadLocation | undefined }) | undefined> {
    if (info.size < MIN_NOTED_BYTES) return undefined;
    const upload = (await this.#open()).find(this.#target(info));
    return upload && { length: Math.min(upload.offset, info.size), location: this.#ownLocation(upload.location) };
  }

  /** The upload that an earlier run left, which is this run's from now on. */
  async claim(info: BlobInfo): Promise<UploadLocation | undefined> {
    if (info.size < MIN_NOTED_BYTES) return undefined;
    const state = await this.#open();
    const location = state.claim(this.#target(info))?.location;
    if (location === undefined) return undefined;
    this.#noted.set(info.digest, location);
    const own = this.#ownLocation(location);
    if (own === undefined) await this.forget(info);
    return own;
  }

  /**
   * Leaves an upload to a later run.
   * @param received  how much of the blob it holds, in bytes.
   * @returns false when it is not noted: it is to be cancelled then.
   */
  async leave(info: BlobInfo, received: number): Promise<boolean> {
    const location = this.#noted.get(info.digest);
    if (location === undefined) return false;
    this.#noted.delete(info.digest);
    return (await this.#open()).leave({ ...this.#target(info), location, offset: received });
  }

  /** Drops the note of an upload that is closed, cancelled, or holds what must not be resumed. */
  async forget(info: BlobInfo): Promise<void> {
    const location = this.#noted.get(info.digest);
    if (location === undefined) return;
    this.#noted.delete(info.digest);
    (await this.#open()).forget({ ...this.#target(info), location });
  }

  /** Credentials may go there: nowhere else than to the registry. */
  #ownLocation(location: string): UploadLocation | undefined {
    const url = resolveUrl(location);
    return url?.origin === this.#origin ? { url } : undefined;
  }

  #target({ digest }: BlobInfo): UploadTarget {
    return { ...this.#repository, digest };
  }
}
