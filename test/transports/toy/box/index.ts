import { readFile, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Digest } from '../../../../src/digest/digest.ts';
import { InvalidReferenceError } from '../../../../src/reference/reference-errors.ts';
import type { ImageDestination } from '../../../../src/contract/image-destination.ts';
import type { ImageSource } from '../../../../src/contract/image-source.ts';
import type { ImageName, Transport } from '../../../../src/transports/transport.ts';

/** The file that says which manifest each tag is. */
export const TAGS_FILE = 'tags.json';

/** A toy like a directory: images by tag, in one directory, that share their blobs. */
export const boxTransport: Transport = {
  prefix: 'box:',
  form: 'box:PATH[:TAG][@DIGEST]',
  repositoryForm: 'box:PATH',
  summary: 'an image in a box',
  completes: 'path',
  parse(text) {
    const [, path, tag, digest] = /^box:([^:@]+)(?::(\w[\w.-]*))?(?:@(sha256:[0-9a-f]{64}))?$/.exec(text) ?? [];
    if (path === undefined) throw new InvalidReferenceError(text, 'expected box:PATH[:TAG]');
    return new BoxName(path, { tag, digest: digest as Digest | undefined });
  },
};

interface WhichImage {
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

class BoxName implements ImageName {
  readonly transport = 'box';
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
  readonly #path: string;

  constructor(path: string, { tag, digest }: WhichImage) {
    this.#path = path;
    this.tag = tag;
    this.digest = digest;
  }

  toString(): string {
    const { tag, digest } = this;
    return `box:${this.#path}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
  }

  pinned(digest: Digest): string {
    return String(new BoxName(this.#path, { tag: undefined, digest }));
  }

  withTag(tag: string): ImageName {
    return new BoxName(this.#path, { tag, digest: undefined });
  }

  withDefaultTag(): ImageName {
    return this.tag === undefined && this.digest === undefined ? this.#tagged('latest') : this;
  }

  completedFrom(source: ImageName | undefined): ImageName {
    return this.tag === undefined ? this.#tagged(source?.withDefaultTag().tag ?? 'latest') : this;
  }

  async place(): Promise<string> {
    const path = await realpath(this.#path).catch(() => resolve(this.#path));
    return `${path} ${this.digest ?? this.tag}`;
  }

  async openSource(): Promise<ImageSource> {
    const { BoxSource } = await import('./box-source.ts');
    return new BoxSource(this.#path, this.digest ?? this.tag ?? 'latest', String(this));
  }

  async openDestination(): Promise<ImageDestination> {
    const { BoxDestination } = await import('./box-destination.ts');
    return new BoxDestination(this.#path, this.tag ?? 'latest', String(this));
  }

  async *listTags(): AsyncGenerator<string> {
    yield* Object.keys(await readTags(this.#path));
  }

  #tagged(tag: string): BoxName {
    return new BoxName(this.#path, { tag, digest: this.digest });
  }
}

export async function readTags(path: string): Promise<Readonly<Record<string, Digest>>> {
  const text = await readFile(join(path, TAGS_FILE), 'utf8').catch(() => '{}');
  return JSON.parse(text) as Record<string, Digest>;
}
