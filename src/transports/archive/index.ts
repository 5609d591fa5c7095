import type { ImageDestination } from '../../contract/image-destination.ts';
import type { ImageSource } from '../../contract/image-source.ts';
import type { Digest } from '../../digest/digest.ts';
import { placeOfPath } from '../../local/local-path.ts';
import { checkNewName, formatLayoutName, parseLayoutName } from '../../reference/layout-name.ts';
import type {
  ImageName,
  OpenDestinationOptions,
  OpenOptions,
  OpenSourceOptions,
  OwnNames,
  Transport,
} from '../transport.ts';
import type { ArchiveForm } from './archive-form.ts';
import { fullImageName, fullNameAt, tagInFullName } from './image-name.ts';

export { standardStreams } from './standard-streams.ts';

/** OCI image layouts in one tar file each. */
export const ociArchiveTransport: Transport = {
  prefix: 'oci-archive:',
  form: 'oci-archive:FILE[:REF][@DIGEST]',
  repositoryForm: 'oci-archive:FILE',
  summary: 'an image in a tar file that holds an OCI layout; FILE may be a named pipe',
  completes: 'file',
  parse: (text) => parseArchiveName(text, 'oci'),
};

/** What `docker save` writes and `docker load` reads. */
export const dockerArchiveTransport: Transport = {
  prefix: 'docker-archive:',
  form: 'docker-archive:FILE[:NAME[:TAG]][@DIGEST]',
  repositoryForm: 'docker-archive:FILE',
  summary:
    'an image in a tar file as docker save writes it and docker load, podman load and ctr images import read it; FILE may be a named pipe',
  completes: 'file',
  parse: (text) => parseArchiveName(text, 'docker'),
};

/** What has files. */
type FileForm = Exclude<ArchiveForm, 'stream'>;

const PREFIXES: Readonly<Record<FileForm, string>> = { oci: 'oci-archive:', docker: 'docker-archive:' };

function parseArchiveName(text: string, form: FileForm): ArchiveName {
  const { path, name: written, digest } = parseLayoutName(text.slice(PREFIXES[form].length), text);
  const name = written === undefined || form === 'oci' ? written : fullImageName(written, text);
  return new ArchiveName(form, path, { written, name, digest });
}

interface NamedImage {
  /** As the user wrote it. */
  readonly written: string | undefined;
  /** Of docker's, in full. */
  readonly name: string | undefined;
  readonly digest: Digest | undefined;
}

class ArchiveName implements ImageName {
  readonly transport: string;
  readonly digest: Digest | undefined;
  readonly mayLeaveOut = true;
  readonly #form: FileForm;
  readonly #path: string;
  readonly #image: NamedImage;

  constructor(form: FileForm, path: string, image: NamedImage) {
    this.transport = PREFIXES[form].slice(0, -1);
    this.digest = image.digest;
    this.#form = form;
    this.#path = path;
    this.#image = image;
  }

  toString(): string {
    const { written, digest } = this.#image;
    return `${PREFIXES[this.#form]}${formatLayoutName({ path: this.#path, name: written, digest })}`;
  }

  pinned(digest: Digest): string {
    return String(new ArchiveName(this.#form, this.#path, { ...this.#image, digest }));
  }

  get tag(): string | undefined {
    const { name } = this.#image;
    return this.#form === 'docker' ? name && tagInFullName(name) : name;
  }

  get fullName(): string | undefined {
    return this.#form === 'docker' ? this.#image.name : undefined;
  }

  withDefaultTag(): ImageName {
    return this;
  }

  /** It takes the source's tag, as oci: does; an archive of docker takes the whole name, so that who loads it has it under that name. */
  completedFrom(source: ImageName | undefined, own: OwnNames = {}): ImageName {
    const { written } = this.#image;
    const taken = written ?? (this.digest === undefined ? this.#nameFrom(source, own) : undefined);
    if (taken === undefined) return this;
    const name = this.#form === 'oci' ? taken : fullImageName(taken);
    const completed = new ArchiveName(this.#form, this.#path, { ...this.#image, written: taken, name });
    if (this.#form === 'oci') checkNewName(taken, String(completed));
    return completed;
  }

  #nameFrom(source: ImageName | undefined, own: OwnNames): string | undefined {
    return this.#form === 'oci' ? (source?.tag ?? own.tag) : fullNameAt(source, own);
  }

  async place(): Promise<string> {
    return `file:${await placeOfPath(this.#path)}`;
  }

  pathOnDisk(): Promise<string> {
    return placeOfPath(this.#path);
  }

  async openSource({ onWarning, onBlobAhead, signal }: OpenSourceOptions): Promise<ImageSource> {
    const [{ openArchive }, { openImage }, { ArchiveSource }] = await Promise.all([
      import('./open-archive.ts'),
      import('./archive-form.ts'),
      import('./archive-source.ts'),
    ]);
    const isOnly = (this.#image.name ?? this.digest) === undefined;
    const archive = await openArchive(this.#path, this.#archive(), { signal, ...(isOnly && { onBlobAhead }) });
    try {
      const image = await openImage(this.#form, archive, this.#image, { onWarning, signal });
      return new ArchiveSource(archive, image, String(this));
    } catch (error) {
      await archive[Symbol.asyncDispose]();
      throw error;
    }
  }

  async openDestination({ leftOut: known }: OpenDestinationOptions): Promise<ImageDestination> {
    const { openArchiveDestination } = await import('./archive-destination.ts');
    const { name } = this.#image;
    return await openArchiveDestination({ form: this.#form, name, path: this.#path, reference: String(this), known });
  }

  async *listTags({ signal }: OpenOptions): AsyncGenerator<string> {
    const [{ openArchive }, { listNames }] = await Promise.all([
      import('./open-archive.ts'),
      import('./archive-form.ts'),
    ]);
    await using archive = await openArchive(this.#path, this.#archive(), { signal });
    yield* await listNames(this.#form, archive, { signal });
  }

  get usesStandardStreams(): boolean {
    return /^\/(?:dev|proc\/self)\/(?:stdout|stdin|fd\/[01])$/.test(this.#path);
  }

  /** Without the name of an image. */
  #archive(): string {
    return `${PREFIXES[this.#form]}${this.#path}`;
  }
}
