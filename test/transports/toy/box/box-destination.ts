import type { Readable } from 'node:stream';
import type { Digest } from '../../../../src/digest/digest.ts';
import { LocalBlobStore } from '../../../../src/local/blob-store.ts';
import { replaceFile } from '../../../../src/local/durable-files.ts';
import { openTargetDirectory, type TargetDirectory } from '../../../../src/local/target-directory.ts';
import type { BlobInfo, RawManifest, WaitOptions } from '../../../../src/contract/blob-info.ts';
import type {
  CurrentManifestOptions,
  ImageDestination,
  ManifestPresence,
  PutBlobInfo,
  PutManifestOptions,
  ReusedBlob,
  UploadedBlob,
} from '../../../../src/contract/image-destination.ts';
import { fileOf } from './box-source.ts';
import { readTags, TAGS_FILE } from './index.ts';

interface Begun {
  readonly target: TargetDirectory;
  readonly blobs: LocalBlobStore;
}

export class BoxDestination implements ImageDestination {
  readonly reference: string;
  readonly concurrency = 'parallel';
  readonly #path: string;
  readonly #tag: string;
  readonly #tags = new Map<string, Digest>();
  #begun: Begun | undefined;

  constructor(path: string, tag: string, reference: string) {
    this.reference = reference;
    this.#path = path;
    this.#tag = tag;
  }

  async begin(): Promise<void> {
    const { reference } = this;
    const isPart = ({ name }: { name: string }): boolean => name === TAGS_FILE || name.startsWith('blob-');
    const target = await openTargetDirectory(this.#path, { reference, isPart, marks: [TAGS_FILE] });
    this.#begun = {
      target,
      blobs: new LocalBlobStore({ directory: target.path, fileOf, reference, side: 'destination' }),
    };
  }

  async currentManifest({ tag = this.#tag }: CurrentManifestOptions = {}): Promise<ManifestPresence> {
    const digest = (await readTags(this.#path))[tag];
    if (digest === undefined) return { state: 'absent' };
    return { state: 'present', manifest: { digest, mediaType: undefined, bytes: undefined } };
  }

  async tryReusingBlobWithOptions(info: BlobInfo): Promise<ReusedBlob> {
    return (await this.#open.blobs.has(info)) ? { reused: true, ...info } : { reused: false };
  }

  async putBlobWithOptions(stream: Readable, info: PutBlobInfo, options: WaitOptions): Promise<UploadedBlob> {
    return this.#open.blobs.write(stream, info, options);
  }

  async putManifest({ digest, bytes }: RawManifest, { instanceDigest, tag }: PutManifestOptions = {}): Promise<void> {
    await replaceFile(this.#open.target.path, fileOf(digest), bytes);
    if (instanceDigest === undefined) this.#tags.set(tag ?? this.#tag, digest);
  }

  async commit(): Promise<void> {
    const tags = { ...(await readTags(this.#path)), ...Object.fromEntries(this.#tags) };
    await replaceFile(this.#open.target.path, TAGS_FILE, Buffer.from(JSON.stringify(tags)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#begun?.target[Symbol.asyncDispose]();
  }

  get #open(): Begun {
    if (this.#begun === undefined) throw new Error('begin() comes first');
    return this.#begun;
  }
}
