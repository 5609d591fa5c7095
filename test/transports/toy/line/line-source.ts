import { open, writeFile, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { digestOf } from '../../../../src/digest/digest.ts';
import { ImgcopyError } from '../../../../src/errors/imgcopy-error.ts';
import { parseManifest } from '../../../../src/manifest/parse-manifest.ts';
import type { BlobInfo, RawManifest } from '../../../../src/contract/blob-info.ts';
import type { BlobStream, ImageSource } from '../../../../src/contract/image-source.ts';
import type { TestImage } from '../../../support/images.ts';

/** How long the manifest is comes first, in so many digits. */
const DIGITS = 8;

/** Writes an image to such a file: its manifest, its layers in order, its config. */
export async function writeLine(path: string, { manifest, blobs }: TestImage): Promise<void> {
  const order = blobsInOrder(manifest).map(({ digest }) => blobs.get(digest) ?? Buffer.alloc(0));
  const length = Buffer.from(String(manifest.bytes.length).padStart(DIGITS, '0'));
  await writeFile(path, Buffer.concat([length, manifest.bytes, ...order]));
}

/** The blobs of an image as a line has them. */
export function blobsInOrder({ bytes, mediaType }: RawManifest): readonly BlobInfo[] {
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind !== 'image' || manifest.config === undefined) throw new Error('a line has one image');
  return [...manifest.layers, manifest.config];
}

interface Opened {
  readonly file: FileHandle;
  readonly manifest: RawManifest;
}

/** Refuses whatever a stream that goes by once could not give: two blobs at a time, or a blob that has gone by. */
export class LineSource implements ImageSource {
  readonly reference: string;
  readonly concurrency = 'serial';
  readonly #path: string;
  #opened: Promise<Opened> | undefined;
  #next = 0;
  #current: Readable | undefined;

  constructor(path: string) {
    this.reference = `line:${path}`;
    this.#path = path;
  }

  async getManifest(): Promise<RawManifest> {
    this.#opened ??= this.#open();
    return (await this.#opened).manifest;
  }

  async getBlob({ digest, size }: BlobInfo): Promise<BlobStream> {
    const { file, manifest } = await (this.#opened ?? Promise.reject(new Error('the manifest comes first')));
    const { readableEnded = true, destroyed = true } = this.#current ?? {};
    if (!readableEnded && !destroyed) throw new Error('a blob is under way');
    const order = blobsInOrder(manifest);
    const index = order.findIndex((blob) => blob.digest === digest);
    if (index < this.#next) throw new Error(`blob ${index} has gone by`);
    this.#next = index + 1;
    const start = order.slice(0, index).reduce((sum, blob) => sum + blob.size, DIGITS + manifest.bytes.length);
    this.#current = file.createReadStream({ start, end: start + size - 1, autoClose: false });
    return { stream: this.#current, size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.file.close();
  }

  async #open(): Promise<Opened> {
    const file = await open(this.#path).catch((cause: unknown) => {
      const kind = 'not-found';
      throw new ImgcopyError(`${this.reference} does not exist`, {
        code: 'ERR_NOT_FOUND',
        kind,
        side: 'source',
        cause,
      });
    });
    const length = Buffer.alloc(DIGITS);
    await file.read(length, 0, DIGITS, 0);
    const bytes = Buffer.alloc(Number(length));
    await file.read(bytes, 0, bytes.length, DIGITS);
    return { file, manifest: { bytes, digest: digestOf(bytes), mediaType: parseManifest(bytes, '').mediaType } };
  }
}
