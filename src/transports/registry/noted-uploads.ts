import type { UploadState } from '../../cache/upload-state.ts';
import type { Digest } from '../../digest/digest.ts';
import type { BlobInfo } from '../../types/blob-info.ts';
import type { RepositoryName } from '../../types/image-source.ts';
import type { UploadLocation } from './client.ts';

/** Shorter uploads are sooner sent again than found again, in bytes. */
const MIN_BYTES = 16 * 1024 * 1024;

/** The uploads of one repository that are noted down, so that a later run can go on with them when this one is cut short. */
export class NotedUploads {
  readonly minBytes: number = MIN_BYTES;
  readonly #open: () => Promise<UploadState>;
  readonly #origin: string;
  readonly #repository: RepositoryName;
  readonly #noted = new Set<Digest>();

  /** @param open  opens the state file, the first time that a blob is large enough for it. */
  constructor(open: () => Promise<UploadState>, origin: string, repository: RepositoryName) {
    this.#open = open;
    this.#origin = origin;
    this.#repository = repository;
  }

  has({ digest }: BlobInfo): boolean {
    return this.#noted.has(digest);
  }

  async note(info: BlobInfo, { url }: UploadLocation): Promise<void> {
    if (info.size < MIN_BYTES) return;
    const state = await this.#open();
    if (this.#noted.has(info.digest)) state.forget(this.#target(info));
    const isNoted = state.remember({
      ...this.#target(info),
      size: info.size,
      location: url.href,
      offset: 0,
      reusedPieces: false,
    });
    if (isNoted) this.#noted.add(info.digest);
  }

  /** The upload that an earlier run left, which is this run's from now on. */
  async claim(info: BlobInfo): Promise<UploadLocation | undefined> {
    if (info.size < MIN_BYTES) return undefined;
    const location = (await this.#open()).claim(this.#target(info))?.location;
    const url = location === undefined ? null : URL.parse(location);
    // Credentials may go there: nowhere else than to the registry.
    return url?.origin === this.#origin ? { url } : undefined;
  }

  async forget(info: BlobInfo): Promise<void> {
    if (!this.#noted.delete(info.digest)) return;
    (await this.#open()).forget(this.#target(info));
  }

  #target({ digest }: BlobInfo): { registry: string; repository: string; digest: Digest } {
    return { ...this.#repository, digest };
  }
}
