import type { FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { ImageSourceChunk } from '../../contract/blob-chunk-accessor.ts';
import type { Archive, OpenMember, OpenMemberOptions } from './archive.ts';
import type { MemberIndex } from './member-index.ts';
import { scanFile, type FileToScan } from './scan-file.ts';
import { StoredMembers } from './stored-members.ts';

/**
 * Opens an archive in a regular file: its members are found by one scan of the headers, and read from where they are.
 * @param file.handle  closed when the archive is disposed of, or cannot be opened.
 * @throws InvalidArchiveError
 */
export async function openArchiveFile(file: FileToScan): Promise<ArchiveFile> {
  try {
    return new ArchiveFile(file, await scanFile(file));
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

export class ArchiveFile implements Archive {
  readonly reference: string;
  readonly isStream = false;
  readonly #handle: FileHandle;
  readonly #index: MemberIndex;
  readonly #stored: StoredMembers;

  constructor({ handle, path, reference }: FileToScan, index: MemberIndex) {
    this.reference = reference;
    this.#handle = handle;
    this.#index = index;
    this.#stored = new StoredMembers(handle, path);
  }

  firstOf(names: readonly string[]): Promise<string | undefined> {
    return Promise.resolve(names.find((name) => this.#index.has(name)));
  }

  has(name: string): boolean {
    return this.#index.has(name);
  }

  names(): Promise<readonly string[]> {
    return Promise.resolve([...this.#index.names]);
  }

  // oxlint-disable-next-line typescript/require-await -- it may throw
  async sizeOf(name: string): Promise<number | undefined> {
    return this.#index.find(name)?.size;
  }

  // oxlint-disable-next-line typescript/require-await -- it may throw
  async open(name: string, options?: OpenMemberOptions): Promise<OpenMember | undefined> {
    const place = this.#index.find(name);
    return place && { stream: this.#stored.stream(place, options), size: place.size };
  }

  readRanges(
    name: string,
    chunks: readonly ImageSourceChunk[],
    options?: OpenMemberOptions,
  ): AsyncIterable<Readable> | undefined {
    const place = this.#index.find(name);
    return place && this.#stored.readRanges(place, chunks, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
