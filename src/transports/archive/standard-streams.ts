import type { ImageDestination } from '../../contract/image-destination.ts';
import type { ImageSource } from '../../contract/image-source.ts';
import { type Digest, isDigest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { InvalidReferenceError } from '../../reference/reference-errors.ts';
import type { ImageName, OpenDestinationOptions, OpenSourceOptions, OwnNames, Transport } from '../transport.ts';
import { fullNameAt } from './image-name.ts';

/** Archives in pipes: standard input, and standard output. */
export const standardStreams: Transport = {
  prefix: '-',
  form: '-',
  summary:
    'standard input, with an archive of any of these forms, which may be compressed with gzip or zstd; or standard output, to which an OCI layout is written that docker load, podman load and ctr images import read',
  completes: 'image',
  parse(text) {
    const digest = text.startsWith('-@') ? text.slice(2) : undefined;
    if (text !== '-' && (digest === undefined || !isDigest(digest))) {
      throw new InvalidReferenceError(text, 'it begins with a hyphen; - alone is standard input or output');
    }
    return new StandardStream(digest as Digest | undefined, undefined);
  },
};

/** So that no two of them are one place: what comes in is not what goes out. */
let places = 0;

class StandardStream implements ImageName {
  readonly transport = '-';
  readonly usesStandardStreams = true;
  readonly mayLeaveOut = true;
  readonly digest: Digest | undefined;
  /** Of the image that is written, in full. */
  readonly #name: string | undefined;

  constructor(digest: Digest | undefined, name: string | undefined) {
    this.digest = digest;
    this.#name = name;
  }

  toString(): string {
    return this.digest === undefined ? '-' : `-@${this.digest}`;
  }

  pinned(digest: Digest): string {
    return String(new StandardStream(digest, undefined));
  }

  withDefaultTag(): ImageName {
    return this;
  }

  /** It takes the source's name, so that who loads it has it under that name. */
  completedFrom(source: ImageName | undefined, own: OwnNames = {}): ImageName {
    return new StandardStream(this.digest, fullNameAt(source, own));
  }

  place(): Promise<string> {
    places += 1;
    return Promise.resolve(`stream ${places}`);
  }

  async openSource({ onWarning, onBlobAhead, signal }: OpenSourceOptions): Promise<ImageSource> {
    const [{ openStandardInput }, { openImage }, { ArchiveSource }] = await Promise.all([
      import('./open-archive.ts'),
      import('./archive-form.ts'),
      import('./archive-source.ts'),
    ]);
    const isOnly = this.digest === undefined;
    const archive = await openStandardInput('standard input', { signal, ...(isOnly && { onBlobAhead }) });
    try {
      const image = await openImage('stream', archive, { digest: this.digest }, { onWarning, signal });
      return new ArchiveSource(archive, image, String(this));
    } catch (error) {
      await archive[Symbol.asyncDispose]();
      throw error;
    }
  }

  async openDestination({ leftOut: known }: OpenDestinationOptions): Promise<ImageDestination> {
    if (process.stdout.isTTY) throw isTerminal();
    const { openArchiveDestination } = await import('./archive-destination.ts');
    const name = this.#name;
    return await openArchiveDestination({ form: 'stream', name, path: undefined, reference: String(this), known });
  }
}

function isTerminal(): ImgcopyError {
  return new ImgcopyError('standard output is a terminal, to which no archive is written', {
    code: 'ERR_USAGE',
    kind: 'usage',
    side: 'destination',
    hint: 'write it to a file or a program: imgcopy SRC - > image.tar, imgcopy SRC - | docker load',
  });
}
