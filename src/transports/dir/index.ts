import { isDigest, type Digest } from '../../digest/digest.ts';
import { placeOfPath } from '../../local/local-path.ts';
import { InvalidReferenceError } from '../../reference/reference-errors.ts';
import type { ImageDestination } from '../../contract/image-destination.ts';
import type { ImageSource } from '../../contract/image-source.ts';
import type { ImageName, OpenDestinationOptions, Transport } from '../transport.ts';

/** Directories in the containers `dir:` layout. */
export const dirTransport: Transport = {
  prefix: 'dir:',
  form: 'dir:PATH[@DIGEST]',
  summary: 'a directory in the containers dir: layout, as skopeo and podman use it',
  completes: 'path',
  parse(text) {
    const whole = text.slice('dir:'.length);
    const at = whole.lastIndexOf('@');
    const digest = whole.slice(at + 1);
    const isPinned = at !== -1 && isDigest(digest);
    const path = isPinned ? whole.slice(0, at) : whole;
    if (path === '') throw new InvalidReferenceError(text, 'the path is empty');
    if (path.includes('\0')) throw new InvalidReferenceError(text, 'a path cannot hold a NUL character');
    return new DirName(path, isPinned ? digest : undefined);
  },
};

class DirName implements ImageName {
  readonly transport = 'dir';
  readonly digest: Digest | undefined;
  /** As the user wrote it. */
  readonly #path: string;

  constructor(path: string, digest: Digest | undefined) {
    this.#path = path;
    this.digest = digest;
  }

  toString(): string {
    return `dir:${this.#path}${this.digest === undefined ? '' : `@${this.digest}`}`;
  }

  pinned(digest: Digest): string {
    return String(new DirName(this.#path, digest));
  }

  withDefaultTag(): ImageName {
    return this;
  }

  completedFrom(): ImageName {
    return this;
  }

  async place(): Promise<string> {
    return `dir:${await placeOfPath(this.#path)}`;
  }

  pathOnDisk(): Promise<string> {
    return placeOfPath(this.#path);
  }

  async openSource(): Promise<ImageSource> {
    const { openDirSource } = await import('./dir-source.ts');
    return openDirSource(this.#path);
  }

  async openDestination({ force }: OpenDestinationOptions): Promise<ImageDestination> {
    const { openDirDestination } = await import('./dir-destination.ts');
    return openDirDestination(this.#path, { force });
  }
}
