import type { Digest } from '../../digest/digest.ts';
import { placeOfPath } from '../../local/local-path.ts';
import type { ImageDestination } from '../../contract/image-destination.ts';
import type { ImageSource } from '../../contract/image-source.ts';
import { InvalidReferenceError, withoutUserinfo } from '../../reference/reference-errors.ts';
import type { ImageName, OpenDestinationOptions, OpenOptions, OwnNames, Transport } from '../transport.ts';
import { checkNewName, formatLayoutName, type LayoutName, parseLayoutName } from '../../reference/layout-name.ts';

const PREFIX = 'oci:';

/** Directories in the OCI image layout. @see https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
export const ociTransport: Transport = {
  prefix: PREFIX,
  form: 'oci:PATH[:REF][@DIGEST]',
  repositoryForm: 'oci:PATH',
  summary:
    'a directory in the OCI image layout, which holds any number of images. REF is the name of one of them: a tag, or whatever else it is called; the first colon ends PATH',
  completes: 'path',
  parse(text) {
    const rest = text.slice(PREFIX.length);
    // Helm and others write images of registries so.
    if (rest.startsWith('//')) {
      const name = withoutUserinfo(rest.replace(/^\/+/, ''));
      throw new InvalidReferenceError(text, 'oci: is followed by the path of a directory, not by two slashes', {
        hint: `did you mean docker://${name} for a registry, or oci:/${name} for a directory?`,
      });
    }
    return new OciName(parseLayoutName(rest, text));
  },
};

class OciName implements ImageName {
  readonly transport = 'oci';
  readonly #name: LayoutName;
  /** Whether the name of the image was taken from the source. */
  readonly #isNameTaken: boolean;

  constructor(name: LayoutName, { isNameTaken = false }: { readonly isNameTaken?: boolean } = {}) {
    this.#name = name;
    this.#isNameTaken = isNameTaken;
  }

  get tag(): string | undefined {
    return this.#name.name;
  }

  get digest(): Digest | undefined {
    return this.#name.digest;
  }

  toString(): string {
    return `${PREFIX}${formatLayoutName(this.#name)}`;
  }

  pinned(digest: Digest): string {
    return String(this.#with({ name: undefined, digest }));
  }

  withTag(tag: string): ImageName {
    return this.#with({ name: tag, digest: undefined });
  }

  withDefaultTag(): ImageName {
    return this;
  }

  /** It takes the source's tag. Without one, the image gets no name. */
  completedFrom(source: ImageName | undefined, own: OwnNames = {}): ImageName {
    const isComplete = this.tag !== undefined || this.digest !== undefined;
    const name = isComplete ? this.tag : (source?.tag ?? own.tag);
    const completed = new OciName({ ...this.#name, name }, { isNameTaken: !isComplete });
    if (name !== undefined) checkNewName(name, String(completed));
    return completed;
  }

  async place(): Promise<string> {
    return `${PREFIX}${formatLayoutName({ ...this.#name, path: await placeOfPath(this.#name.path) })}`;
  }

  pathOnDisk(): Promise<string> {
    return placeOfPath(this.#name.path);
  }

  async openSource(): Promise<ImageSource> {
    const { openOciSource } = await import('./oci-source.ts');
    return openOciSource(this.#name);
  }

  async openDestination({ force, noClobber, onWarning }: OpenDestinationOptions): Promise<ImageDestination> {
    const { openOciDestination } = await import('./oci-destination.ts');
    return openOciDestination(this.#name, {
      force,
      noClobber,
      place: await placeOfPath(this.#name.path),
      ...(this.#isNameTaken && { onNameMoved: onWarning }),
    });
  }

  async *listTags({ signal }: OpenOptions): AsyncGenerator<string> {
    const { listLayoutNames } = await import('./oci-source.ts');
    signal.throwIfAborted();
    yield* await listLayoutNames(this.#name.path);
  }

  #with(changes: Partial<LayoutName>): OciName {
    return new OciName({ ...this.#name, ...changes });
  }
}
