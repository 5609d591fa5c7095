import type { Digest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { quote } from '../../errors/printable.ts';
import {
  formatRegistryReference,
  isTag,
  parseRegistryReference,
  type RegistryReference,
} from '../../reference/registry-reference.ts';
import { InvalidReferenceError } from '../../reference/reference-errors.ts';
import type { ImageDestination } from '../../contract/image-destination.ts';
import type { ImageSource, RepositoryName } from '../../contract/image-source.ts';
import type {
  ImageName,
  OpenDestinationOptions,
  OpenOptions,
  OpenSourceOptions,
  OwnNames,
  Transport,
} from '../transport.ts';
import { endpointsToRead, endpointToWrite, type Endpoint } from './registry-endpoint.ts';

const PREFIX = 'docker://';

/** Registries of the OCI distribution specification. */
export const registryTransport: Transport = {
  prefix: PREFIX,
  form: 'docker://HOST[:PORT]/NAME[:TAG][@DIGEST]',
  repositoryForm: 'docker://HOST[:PORT]/NAME',
  summary:
    'an image in a registry. As in docker, docker.io and library/ are filled in, and the default tag is latest. With tag and digest, the digest counts',
  completes: 'image',
  parse(text) {
    const name = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : text;
    return new RegistryName(parseRegistryReference(name, text), { bare: text.includes('/') ? undefined : text });
  },
};

class RegistryName implements ImageName {
  readonly transport = 'docker';
  readonly #reference: RegistryReference;
  /** What the user wrote, where that is one word: it stands for an official image of Docker Hub. */
  readonly #bare: string | undefined;

  constructor(reference: RegistryReference, { bare }: { readonly bare: string | undefined }) {
    this.#reference = reference;
    this.#bare = bare;
  }

  get tag(): string | undefined {
    return this.#reference.tag;
  }

  get digest(): Digest | undefined {
    return this.#reference.digest;
  }

  get registry(): string {
    return this.#reference.registry;
  }

  toString(): string {
    return formatRegistryReference(this.#reference);
  }

  pinned(digest: Digest): string {
    const { registry, repository } = this.#reference;
    return formatRegistryReference({ registry, repository, digest });
  }

  withTag(tag: string): ImageName {
    const { registry, repository } = this.#reference;
    const named = new RegistryName({ registry, repository, tag }, { bare: this.#bare });
    if (isTag(tag)) return named;
    throw new InvalidReferenceError(String(named), `${quote(tag)} is not a tag`);
  }

  withDefaultTag(): ImageName {
    const { tag, digest } = this.#reference;
    return tag !== undefined || digest !== undefined ? this : this.#with({ tag: 'latest' });
  }

  /** It takes the source's tag, or else its digest; the default tag where the source has no tags at all, or names one image without them. */
  completedFrom(source: ImageName | undefined, own: OwnNames = {}): ImageName {
    if (this.#bare !== undefined) throw bareDestination(this.#bare, this.#reference);
    const isComplete = this.tag !== undefined || this.digest !== undefined;
    if (isComplete || source === undefined) return this.withDefaultTag();
    const { tag = own.tag, digest } = source.withDefaultTag();
    if (tag === undefined) return this.#with(source.withTag === undefined ? {} : { digest }).withDefaultTag();
    if (!isTag(tag)) throw notATag(tag, this.#reference);
    return this.#with({ tag });
  }

  place(): Promise<string> {
    return Promise.resolve(String(this));
  }

  async approach(use: 'read' | 'write', options: OpenOptions): Promise<void> {
    const [access, { address, ...endpoint }] = await Promise.all([
      options.access(),
      use === 'write'
        ? endpointToWrite(this.#reference, options)
        : endpointsToRead(this.#reference, options).then(([first]) => first),
    ]);
    await access.approach(address.registry, endpoint);
  }

  async openSource(options: OpenSourceOptions): Promise<ImageSource> {
    const [{ openRegistrySource }, access, resolved] = await Promise.all([
      import('./registry-source.ts'),
      options.access(),
      endpointsToRead(this.#reference, options),
    ]);
    const endpoints = resolved.filter((endpoint) => !isMirrorAt(endpoint, options.destinations));
    const [only = resolved[0], ...others] = endpoints;
    if (others.length === 0 && only.resolvesTags !== false)
      return openRegistrySource(access, this.#reference, only, options);
    const { openMirroredSource } = await import('./read/mirrored-source.ts');
    return openMirroredSource(access, this.#reference, [only, ...others], options);
  }

  /** Whether it is a name of this repository. */
  isAt({ registry, repository }: RepositoryName): boolean {
    return this.#reference.registry === registry && this.#reference.repository === repository;
  }

  async openDestination(options: OpenDestinationOptions): Promise<ImageDestination> {
    const [{ openRegistryDestination }, access, endpoint] = await Promise.all([
      import('./registry-destination.ts'),
      options.access(),
      endpointToWrite(this.#reference, options),
    ]);
    return openRegistryDestination(access, this.#reference, endpoint, options);
  }

  async *listTags(options: OpenOptions): AsyncGenerator<string> {
    const [{ listMirroredTags }, access, endpoints] = await Promise.all([
      import('./read/mirrored-tags.ts'),
      options.access(),
      endpointsToRead(this.#reference, options),
    ]);
    yield* listMirroredTags(access, this.#reference, endpoints, options);
  }

  #with(changes: Partial<RegistryReference>): RegistryName {
    return new RegistryName({ ...this.#reference, ...changes }, { bare: this.#bare });
  }
}

function isMirrorAt({ isMirror, address }: Endpoint, places: readonly ImageName[] = []): boolean {
  return isMirror === true && places.some((place) => place instanceof RegistryName && place.isAt(address));
}

/** A layout may call its images as no registry can. */
function notATag(name: string, reference: RegistryReference): ImgcopyError {
  const text = formatRegistryReference(reference);
  return new ImgcopyError(`${text} needs a tag, and the source is called ${quote(name)}, which is none`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    side: 'destination',
    hint: `give the destination a tag: ${text}:TAG`,
  });
}

/** Nobody can push an official image: a directory was meant, or a host is missing. */
function bareDestination(text: string, { repository }: RegistryReference): ImgcopyError {
  const [word = ''] = text.split(/[:@]/);
  return new ImgcopyError(`${text} as the destination means docker.io/${repository}, which cannot be pushed to`, {
    code: 'ERR_BARE_DESTINATION',
    kind: 'usage',
    hint: `write dir:./${word} for a directory, or HOST/${word} for a registry`,
  });
}
