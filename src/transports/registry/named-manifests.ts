import { digestAlgorithm, isDigest } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { isForeignLayer } from '../../manifest/media-types.ts';
import { manifestDigest, parseManifest } from '../../manifest/parse-manifest.ts';
import type { RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { checkIfDigest, ifDigestNotMet, type IfDigest } from '../../contract/if-digest.ts';
import type { CurrentManifest, ManifestPresence, PutManifestOptions } from '../../contract/image-destination.ts';
import { MissingBlobsError } from '../../contract/errors.ts';
import type { BlobInfoCache } from '../../contract/blob-info-cache.ts';
import type { RegistryClient } from './client.ts';
import { RegistryError } from './registry-error.ts';
import type { TagsAtOnce, TagsAtOnceMemory } from './tags-at-once.ts';

export interface NamedManifestsOptions {
  readonly tagsAtOnce: TagsAtOnce;
  /** Where it is remembered, once it is open. */
  readonly cache?: (() => BlobInfoCache | undefined) | undefined;
  /** `host[:port]` */
  readonly host: string;
}

/** Who lists a manifest among those that refer to its subject: a registry with a referrers API, or clients where there is none. */
export type Listing = 'registry' | 'client' | 'unknown';

/** The manifests of a repository by their names. Each name is looked at once, and written only where it holds something else. */
export class NamedManifests {
  readonly #client: RegistryClient;
  readonly #options: NamedManifestsOptions;
  readonly #heads = new Map<string, Promise<ManifestPresence>>();
  readonly #wholes = new Map<string, Promise<ManifestPresence>>();

  constructor(client: RegistryClient, options: NamedManifestsOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** What a tag or digest names now, by GET, or by HEAD where its digest will do. */
  look(
    name: string,
    { digestOnly = false, signal }: WaitOptions & { readonly digestOnly?: boolean | undefined } = {},
  ): Promise<ManifestPresence> {
    const known = this.#wholes.get(name) ?? (digestOnly ? this.#heads.get(name) : undefined);
    if (known !== undefined) return known;
    const looking = digestOnly ? this.#head(name, signal) : this.#get(name, signal);
    (digestOnly ? this.#heads : this.#wholes).set(name, looking);
    return looking;
  }

  /**
   * Stores a manifest under a name, unless it was found there. Tags that will be put next are written with it, where that saves requests.
   *
   * @throws MissingBlobsError where the registry lacks what the manifest names.
   */
  async put(
    name: string,
    manifest: RawManifest,
    { nextTags = [], ifDigest, signal }: Pick<PutManifestOptions, 'nextTags' | 'ifDigest' | 'signal'> = {},
  ): Promise<Listing> {
    if (ifDigest !== undefined) return this.#putIf(name, manifest, ifDigest, signal);
    const lacking = await this.#lacking([name, ...nextTags], manifest);
    const listing = await this.#putTags(lacking, manifest, signal);
    if (listing === undefined) return lacking.includes(name) ? this.#putOne(name, manifest, signal) : 'unknown';
    // The manifest was taken, so nothing has to wait for the first name any more.
    const left = await this.#lacking(lacking, manifest);
    await Promise.all(left.map((other) => this.#putOne(other, manifest, signal)));
    return listing;
  }

  /** Looks right before the PUT, and tells the registry the condition too: it alone can see that nobody writes in between. */
  async #putIf(
    name: string,
    manifest: RawManifest,
    ifDigest: IfDigest,
    signal: AbortSignal | undefined,
  ): Promise<Listing> {
    const head = await this.#lookNow(name, signal);
    checkIfDigest(`tag ${name}`, ifDigest, head.presence);
    if (ifDigest === manifest.digest) return 'unknown';
    const condition = ifDigest === 'none' ? { 'if-none-match': '*' } : head.etag && { 'if-match': head.etag };
    try {
      return await this.#putOne(name, manifest, signal, condition || undefined);
    } catch (error) {
      if (!isPreconditionFailed(error)) throw error;
      const now = await this.#askDigest(name, signal);
      throw now?.digest === ifDigest ? error : ifDigestNotMet(`tag ${name}`, ifDigest, now?.digest, error);
    }
  }

  async #lookNow(
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly presence: ManifestPresence; readonly etag?: string | undefined }> {
    let etag: string | undefined;
    const presence = await presenceOf(async () => {
      const head = await this.#client.headManifest(name, { signal });
      etag = head?.etag;
      if (head?.digest === undefined) return this.#manifestOf(name, signal);
      return { digest: head.digest, mediaType: head.mediaType, bytes: undefined };
    });
    return { presence, etag };
  }

  /**
   * Several tags by one PUT. It also gives a tag the digest of a manifest whose digest is not sha256: by its name alone, the registry would choose one.
   * @returns undefined where that is not worth it, or the registry refuses it: single requests tell why.
   */
  async #putTags(
    names: readonly string[],
    manifest: RawManifest,
    signal: AbortSignal | undefined,
  ): Promise<Listing | undefined> {
    const { tagsAtOnce } = this.#options;
    const tags = names.filter((name) => !isDigest(name));
    const isWorthIt = tags.length > 1 || (tags.length === 1 && digestAlgorithm(manifest.digest) !== 'sha256');
    if (!isWorthIt || !tagsAtOnce.mayWork(this.#memory)) return undefined;
    try {
      const written = await this.#client.putManifest(manifest.digest, manifest, { tags, signal });
      tagsAtOnce.learn(written.tags.length > 0, this.#memory);
      for (const name of [manifest.digest, ...written.tags]) this.#hold(name, manifest);
      return listingOf(written);
    } catch (error) {
      if (!isRefusal(error) || lacksBlobs(error)) throw explained(error, manifest);
      tagsAtOnce.refuse(this.#memory);
      return undefined;
    }
  }

  /**
   * Registries with immutable tags refuse to write even the same again, so a refusal may only mean that an earlier request, whose answer was lost, has
   * stored it.
   */
  async #putOne(
    name: string,
    manifest: RawManifest,
    signal: AbortSignal | undefined,
    condition?: Readonly<Record<string, string>>,
  ): Promise<Listing> {
    const listing = await this.#write(name, manifest, { signal, condition });
    this.#hold(name, manifest);
    return listing;
  }

  async #write(
    name: string,
    manifest: RawManifest,
    { condition, signal }: WaitOptions & { readonly condition: Readonly<Record<string, string>> | undefined },
  ): Promise<Listing> {
    try {
      return listingOf(await this.#client.putManifest(name, manifest, { condition, signal }));
    } catch (error) {
      const reason = explained(error, manifest);
      if (reason !== error || !isRefusal(error)) throw reason;
      const found = await this.#askDigest(name, signal);
      if (found?.digest !== manifest.digest) {
        if (found !== undefined && isTagImmutable(error)) throw notReplaced(name, found, error);
        throw mayLackBlobs(error) ? new MissingBlobsError(error, { isSuspicion: true }) : error;
      }
      return 'unknown';
    }
  }

  get #memory(): TagsAtOnceMemory {
    const { cache, host } = this.#options;
    return { cache: cache?.(), host };
  }

  #hold(name: string, manifest: RawManifest): void {
    this.#wholes.set(name, Promise.resolve({ state: 'present', manifest }));
  }

  async #lacking(names: readonly string[], manifest: RawManifest): Promise<readonly string[]> {
    const held = await Promise.all(names.map((name) => this.#holds(name, manifest)));
    return names.filter((_name, index) => !held[index]);
  }

  async #holds(name: string, { digest }: RawManifest): Promise<boolean> {
    const known = this.#wholes.get(name) ?? this.#heads.get(name);
    const presence = await known?.catch(() => undefined);
    return presence?.state === 'present' && presence.manifest.digest === digest;
  }

  async #head(name: string, signal: AbortSignal | undefined): Promise<ManifestPresence> {
    return presenceOf(() => this.#digestOf(name, signal));
  }

  async #get(name: string, signal: AbortSignal | undefined): Promise<ManifestPresence> {
    const head = this.#heads.get(name);
    // Without a HEAD to wait for, this is to be the first request to the host: the others wait until it has answered.
    const presence = head === undefined ? undefined : await head;
    if (presence !== undefined && presence.state !== 'present') return presence;
    return presenceOf(() => this.#manifestOf(name, signal));
  }

  /** By HEAD where the registry answers it, and names the digest. */
  async #digestOf(name: string, signal: AbortSignal | undefined): Promise<CurrentManifest> {
    const head = await this.#client.headManifest(name, { signal });
    if (head?.digest === undefined) return this.#manifestOf(name, signal);
    return { digest: head.digest, mediaType: head.mediaType, bytes: undefined };
  }

  async #manifestOf(name: string, signal: AbortSignal | undefined): Promise<CurrentManifest> {
    const { bytes, mediaType: declared } = await this.#client.getManifest(name, { signal });
    const { mediaType } = parseManifest(bytes, declared);
    const algorithm = isDigest(name) ? digestAlgorithm(name) : 'sha256';
    return { digest: manifestDigest(bytes, mediaType, algorithm), mediaType, bytes };
  }

  /** Undefined where the registry does not tell. */
  async #askDigest(name: string, signal: AbortSignal | undefined): Promise<CurrentManifest | undefined> {
    try {
      return await this.#digestOf(name, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ImgcopyError) return undefined;
      throw error;
    }
  }
}

async function presenceOf(ask: () => Promise<CurrentManifest>): Promise<ManifestPresence> {
  try {
    return { state: 'present', manifest: await ask() };
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return { state: 'absent' };
    const isAnswer = error instanceof RegistryError && error.kind !== 'rate-limited';
    const isUnreadable = error instanceof ImgcopyError && UNREADABLE.has(error.code);
    if (isAnswer || isUnreadable) return { state: 'unknown', reason: error };
    throw error;
  }
}

const UNREADABLE: ReadonlySet<string> = new Set(['ERR_INVALID_MANIFEST', 'ERR_ANSWER_TOO_LARGE']);

function listingOf({ subject }: { readonly subject: string | undefined }): Listing {
  return subject === undefined ? 'client' : 'registry';
}

/** What a refused manifest lacks, where the answer tells. */
function explained(error: unknown, manifest: RawManifest): unknown {
  if (refusesForeignUrl(error, manifest)) return foreignUrlRefused(error);
  return lacksBlobs(error) ? new MissingBlobsError(error, { hint: missingBlobsHint(manifest) }) : error;
}

function lacksBlobs(error: unknown): error is RegistryError {
  return error instanceof RegistryError && error.codes.some((code) => /^(MANIFEST_)?BLOB_UNKNOWN$/.test(code));
}

/** Registries that do not name the blob, or that do not know it, say no in these ways. */
function mayLackBlobs(error: unknown): error is RegistryError {
  return error instanceof RegistryError && (error.codes.includes('MANIFEST_INVALID') || error.status === 404);
}

/**
 * Distribution allows no foreign URL unless it is told to. It answers 500 with UNKNOWN, whose detail is "invalid URL on layer" (v3) or empty
 * (2.8), beside the MANIFEST_BLOB_UNKNOWN of the layer.
 */
function refusesForeignUrl(error: unknown, manifest: RawManifest): error is RegistryError {
  if (!(error instanceof RegistryError) || !hasForeignLayers(manifest)) return false;
  return /invalid url/i.test(error.message) || (error.codes.includes('UNKNOWN') && lacksBlobs(error));
}

function foreignUrlRefused(cause: RegistryError): ImgcopyError {
  return new ImgcopyError('the registry does not accept a layer that is kept at a foreign URL', {
    code: 'ERR_FOREIGN_URL_REFUSED',
    kind: 'failed',
    side: 'destination',
    hint: 'ask its operator to allow the URLs of the layer (in distribution: validation.manifests.urls.allow)',
    cause,
  });
}

function hasForeignLayers({ bytes, mediaType }: RawManifest): boolean {
  const manifest = parseManifest(bytes, mediaType);
  return manifest.kind === 'image' && manifest.layers.some(isForeignLayer);
}

function missingBlobsHint(manifest: RawManifest): string | undefined {
  if (!hasForeignLayers(manifest)) return undefined;
  return 'the image has layers that are kept at foreign URLs; --allow-nondistributable-artifacts copies them as well';
}

function isRefusal(error: unknown): error is RegistryError {
  if (!(error instanceof RegistryError) || error.kind === 'rate-limited') return false;
  return error.status >= 400 && error.status < 500 && error.status !== 401;
}

/** ECR answers 400 TAG_INVALID, Harbor 412, others 409: "already exists", "immutable". */
export function isTagImmutable(error: unknown): error is RegistryError {
  if (!(error instanceof RegistryError)) return false;
  const { status, message } = error;
  return status === 409 || status === 412 || /immutable|already exists/i.test(message);
}

/** Also Harbor's answer for a tag that is immutable. */
function isPreconditionFailed(error: unknown): boolean {
  const reason = error instanceof ImgcopyError && error.code === 'ERR_TAG_IMMUTABLE' ? error.cause : error;
  return reason instanceof RegistryError && reason.status === 412;
}

function notReplaced(name: string, { digest }: CurrentManifest, cause: RegistryError): ImgcopyError {
  return new ImgcopyError(`the registry does not allow tag ${name} to be replaced: it holds ${digest}`, {
    code: 'ERR_TAG_IMMUTABLE',
    side: 'destination',
    hint: 'use another tag, or --no-clobber to leave tags that exist as they are',
    cause,
  });
}
