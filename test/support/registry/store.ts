import { digestOf, type Digest } from '../../../src/digest/digest.ts';
import type { RawManifest } from '../../../src/contract/blob-info.ts';

/** What one repository holds. */
export class Repository {
  readonly blobs: Map<Digest, Buffer> = new Map();
  readonly manifests: Map<Digest, RawManifest> = new Map();
  readonly tags: Map<string, Digest> = new Map();

  putBlob(bytes: Buffer): Digest {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  /** @param reference  a tag or a digest */
  manifest(reference: string): RawManifest | undefined {
    return this.manifests.get(this.tags.get(reference) ?? (reference as Digest));
  }

  /** @param tag  undefined: by its digest alone. */
  putManifest(manifest: RawManifest, tag: string | undefined): void {
    this.manifests.set(manifest.digest, manifest);
    if (tag !== undefined) this.tags.set(tag, manifest.digest);
  }

  /** A digest takes its tags with it. @returns whether it was there. */
  deleteManifest(reference: string): boolean {
    if (this.tags.delete(reference)) return true;
    for (const [tag, digest] of this.tags) if (digest === reference) this.tags.delete(tag);
    return this.manifests.delete(reference as Digest);
  }
}

/** The repositories of a registry, by name. */
export class Store {
  readonly #repositories = new Map<string, Repository>();

  /** The repository of this name, or undefined while nothing was put into it. */
  find(name: string): Repository | undefined {
    return this.#repositories.get(name);
  }

  /** The repository of this name, made if it is not there. */
  open(name: string): Repository {
    const repository = this.#repositories.get(name) ?? new Repository();
    this.#repositories.set(name, repository);
    return repository;
  }
}
