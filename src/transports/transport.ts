import type { Digest } from '../digest/digest.ts';
import type { LeftOutBlobs } from '../contract/blob-info.ts';
import type { RequestObserver } from '../http/send/send.ts';
import type { BlobInfoCache } from '../contract/blob-info-cache.ts';
import type { EndpointOptions } from '../contract/endpoint-options.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { RegistryConfiguration } from '../registries/configured-endpoint.ts';
import type { ImageSource, OnBlobAhead, RepositoryName } from '../contract/image-source.ts';
import type { RegistryAccess } from './registry/registry-access.ts';

/** A kind of place where images are: what `src/transports/NAME/index.ts` exports. Light, for it is loaded with every command. */
export interface Transport {
  /** What a reference to it begins with: `dir:`. */
  readonly prefix: string;
  /** How its references look, for help and docs: `dir:PATH[@DIGEST]`. */
  readonly form: string;
  /** How a repository is named whose tags can be listed, or what else has names of images to list. Absent where there is no such thing. */
  readonly repositoryForm?: string | undefined;
  /** What such a reference names, in a few words, for docs. */
  readonly summary: string;
  /** What a shell may complete after the prefix: a directory (`path`), a file, or an image, of which it knows nothing. */
  readonly completes: 'path' | 'file' | 'image';
  /**
   * Reads a reference.
   * @param text  as the user wrote it, prefix included.
   * @throws InvalidReferenceError
   */
  parse(text: string): ImageName;
}

/** The names that an image has at its source. */
export type OwnNames = Pick<ImageSource, 'tag' | 'fullName'>;

/** The name of an image, as one transport understands it. A value: whatever changes it makes another one. */
export interface ImageName {
  /** The prefix without its punctuation: `docker`, `dir`. */
  readonly transport: string;
  readonly tag?: string | undefined;
  /** Of an archive of docker: registry, repository and tag, as docker stores it. */
  readonly fullName?: string | undefined;
  /** What the image must be. */
  readonly digest?: Digest | undefined;
  /** The registry that it is of, `host[:port]`: what is secret between that and the user is for no other. Absent where it is of none. */
  readonly registry?: string | undefined;

  /** The name in full, which reads back as this one. */
  toString(): string;
  /** The image that is under this name now, by its digest. */
  pinned(digest: Digest): string;
  /**
   * The image of the same repository that has this tag. Absent where images have no tags.
   * @throws InvalidReferenceError for what cannot be a tag there.
   */
  withTag?(tag: string): ImageName;
  /** The name of an image to read: with the default tag, where it has neither tag nor digest. */
  withDefaultTag(): ImageName;
  /**
   * The name of an image to write: what is missing of it is taken from the source's name.
   * @param source  undefined where the source has no name, because it is an object of the caller's.
   * @param own  what the source calls it, where its name has neither tag nor digest.
   * @throws ImgcopyError of kind `usage` for a place that nobody can write to.
   */
  completedFrom(source: ImageName | undefined, own?: OwnNames): ImageName;
  /** Whether standard input is read, or standard output written: then nothing else reads or writes it. Default false. */
  readonly usesStandardStreams?: boolean | undefined;
  /** Whether blobs may be left out of what is written: see OpenDestinationOptions.leftOut. Default false. */
  readonly mayLeaveOut?: boolean | undefined;
  /** Equal for two names of one place. */
  place(): Promise<string>;
  /** The directory or file that holds the image, absolute and without symbolic links: names of several transports may lead to one. Absent where there is none. */
  pathOnDisk?(): Promise<string>;

  /**
   * Begins what takes time before the image can be opened, such as a connection, and does not wait for it. What goes wrong is told when it is opened.
   * Absent where nothing takes time.
   */
  approach?(use: 'read' | 'write', options: OpenOptions): Promise<void>;
  /** Opens the image for reading. It makes nothing and locks nothing. Absent where images are only written. */
  openSource?(options: OpenSourceOptions): Promise<ImageSource>;
  /** Opens the image for writing. It makes nothing and locks nothing: see ImageDestination.begin. Absent where images are only read. */
  openDestination?(options: OpenDestinationOptions): Promise<ImageDestination>;
  /** All tags of its repository, or all names in its archive, a page at a time. Absent where there are none to list. */
  listTags?(options: OpenOptions): AsyncIterable<string>;
}

/** What opening an image may need. Each part is opened when it is first wanted. */
export interface OpenOptions {
  /** Opens the way to registries. */
  readonly access: () => Promise<RegistryAccess>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly endpoint: EndpointOptions;
  /** What this machine's configuration says of registries. */
  readonly registries: () => Promise<RegistryConfiguration>;
  readonly observer: RequestObserver;
  readonly onWarning: (message: string) => void;
  /** The cache, once it is open. */
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  readonly signal: AbortSignal;
}

export interface OpenSourceOptions extends OpenOptions {
  /** Where the image goes, as far as that has a name: a mirror that is a destination itself is not read. Default: nowhere. */
  readonly destinations?: readonly ImageName[] | undefined;
  /** Told of layers that come before the manifest, where the image is a stream and the only one in it. Default: they wait. */
  readonly onBlobAhead?: OnBlobAhead | undefined;
}

export interface OpenDestinationOptions extends OpenOptions {
  /** Where the image comes from, if that is a registry. */
  readonly source: RepositoryName | undefined;
  /** Whether blobs that are there are hashed before they are reused. */
  readonly force: boolean;
  /** Whether names that exist are left unchanged. */
  readonly noClobber: boolean;
  /** What is not written, for who imports the image has it. Given to names that may leave out blobs alone. */
  readonly leftOut?: LeftOutBlobs | undefined;
  /** Whether only questions will be asked: nothing is written, no file is made, and tokens are for reading. Default false. */
  readonly isDryRun?: boolean | undefined;
}
