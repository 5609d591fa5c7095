import { ImgcopyError, type Side } from '../../errors/imgcopy-error.ts';
import { isDigest, type Digest, type DigestAlgorithm } from '../../digest/digest.ts';
import {
  atOrigin,
  dumpBody,
  header,
  NetworkError,
  readBody,
  redactUrl,
  resolveUrl,
  withQuery,
  type HttpRequest,
  type HttpResponse,
  type RequestBody,
  type RequestKind,
  type Send,
} from '../../http/index.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { MANIFEST_ACCEPT, MediaType } from '../../manifest/media-types.ts';
import { MAX_MANIFEST_BYTES } from '../../manifest/parse-manifest.ts';
import { parseReferrersPage } from '../../manifest/referrers-index.ts';
import type { RawManifest, WaitOptions } from '../../contract/blob-info.ts';
import { toRegistryError } from './registry-error.ts';
import { delayedAbort } from './delayed-abort.ts';
import { nextPage } from './read/link-header.ts';
import { nowMs } from '../../io/clock.ts';

/** What a HEAD says of a manifest; a registry may leave each of them out. */
export interface ManifestHead {
  readonly digest: Digest | undefined;
  /** One that a condition can name: not a weak one. */
  readonly etag?: string | undefined;
  readonly mediaType: string | undefined;
}

/** Some of the manifests that refer to another one. */
export interface ReferrersPage {
  readonly manifests: readonly Descriptor[];
  /** Where the next page is; undefined for the last one. */
  readonly next: URL | undefined;
}

/** Registries without pages list all referrers in one answer. In bytes. */
const MAX_PAGE_BYTES = 32 * 1024 * 1024;

export interface RegistryClientOptions {
  /** `scheme://host[:port]` of the registry. */
  readonly origin: string;
  readonly repository: string;
  /** The path of the API. Default `/v2`. */
  readonly apiRoot?: string | undefined;
  /** The registry that this one stands in for, told with each request as `ns`. Default: not told. */
  readonly namespace?: string | undefined;
  readonly side: Side;
  /** Authenticates, retries and follows redirects. */
  readonly send: Send;
}

/** The answer to a request for a blob by HEAD: not every registry lets one ask. */
export type BlobPresence =
  { readonly present: true; readonly size: number | undefined } | { readonly present: false } | 'unknown';

export interface SendBlobOptions extends WaitOptions {
  /** In bytes; default: sent chunked, or the length of the bytes. */
  readonly length?: number | undefined;
  /** Where these bytes lie in the blob, `start-end` inclusive, for an upload in several requests. */
  readonly contentRange?: string | undefined;
  readonly headersTimeoutMs?: number | undefined;
  readonly retries?: number | undefined;
}

/** An upload that a registry has opened: its URL is replaced by each answer. */
export interface UploadLocation {
  readonly url: URL;
  /** What every request but the last has to carry at least, in bytes, where the registry says so. */
  readonly minChunkBytes?: number | undefined;
}

/** How far an upload came, in bytes, and where it is now; or that it is gone, or that the registry does not say. */
export type UploadStatus = { readonly offset: number; readonly upload: UploadLocation } | 'gone' | 'unknown';

/** The path of a registry's API, where nothing else is said. */
export const API_ROOT = '/v2';

/** Asks caches on the way to fetch it again. */
export const NO_CACHE: Readonly<Record<string, string>> = { 'cache-control': 'no-cache' };

/** What differs from request to request. */
type Call = Omit<HttpRequest, 'method' | 'url' | 'side' | 'kind' | 'authOrigin'>;

/**
 * One repository of a registry: a method for each endpoint that a copy needs, no policy.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
 */
export class RegistryClient {
  readonly origin: string;
  readonly repository: string;
  readonly side: Side;
  readonly #send: Send;
  readonly #apiRoot: string;
  readonly #namespace: string | undefined;
  #roundTripMs: number | undefined;

  constructor({ origin, repository, apiRoot = API_ROOT, namespace, side, send }: RegistryClientOptions) {
    this.origin = origin;
    this.#apiRoot = apiRoot;
    this.#namespace = namespace;
    this.repository = repository;
    this.side = side;
    this.#send = send;
  }

  /** The shortest answer so far, in ms. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs;
  }

  /** @throws RegistryError of kind `not-found` where there is none. */
  async getManifest(
    reference: string,
    {
      maxBytes: most = Infinity,
      isFresh,
      signal,
    }: WaitOptions & {
      /** In bytes. Default: as large as a manifest may be. */
      readonly maxBytes?: number | undefined;
      /** Past any cache on the way. */
      readonly isFresh?: boolean | undefined;
    } = {},
  ): Promise<Omit<RawManifest, 'digest'> & ManifestHead> {
    const maxBytes = Math.min(most, MAX_MANIFEST_BYTES);
    const request = this.#request('GET', `manifests/${reference}`, {
      signal,
      headers: { accept: MANIFEST_ACCEPT.join(', '), ...(isFresh && NO_CACHE) },
      answerBody: { maxBytes },
    });
    const response = await this.#expect(request, [200]);
    const bytes = await readBody(response, request, maxBytes);
    return { bytes, ...manifestHead(response), mediaType: manifestHead(response).mediaType ?? '' };
  }

  /** Undefined where the registry does not answer HEAD for manifests. @throws RegistryError of kind `not-found` where there is none. */
  async headManifest(reference: string, { signal }: WaitOptions = {}): Promise<ManifestHead | undefined> {
    const request = this.#request('HEAD', `manifests/${reference}`, {
      signal,
      headers: { accept: MANIFEST_ACCEPT.join(', ') },
    });
    const response = await this.#expect(request, [200, 405]);
    await dumpBody(response);
    return response.status === 405 ? undefined : manifestHead(response);
  }

  /**
   * Stores a manifest under a tag or its digest; with a digest, also under `tags`, where the registry does that.
   * @returns the subject, where the registry says that it lists the manifest among what refers to that; those of `tags` that it says it has written.
   */
  async putManifest(
    reference: string,
    { bytes, mediaType }: Pick<RawManifest, 'bytes' | 'mediaType'>,
    {
      tags = [],
      condition,
      signal,
    }: WaitOptions & {
      readonly tags?: readonly string[] | undefined;
      /** Headers that say when to refuse by 412. Not every registry reads them. */
      readonly condition?: Readonly<Record<string, string>> | undefined;
    } = {},
  ): Promise<{ readonly subject: string | undefined; readonly tags: readonly string[] }> {
    const query = tags.map((tag) => `tag=${encodeURIComponent(tag)}`).join('&');
    const request = this.#request('PUT', `manifests/${reference}${query && `?${query}`}`, {
      signal,
      body: bytes,
      headers: { 'content-type': mediaType, ...condition },
    });
    const response = await this.#expect(request, [200, 201, 202, 204]);
    await dumpBody(response);
    const written = [response.headers['oci-tag'] ?? []].flat().flatMap((value) => value.split(','));
    return {
      subject: header(response, 'oci-subject') || undefined,
      tags: written.map((tag) => tag.trim()).filter((tag) => tags.includes(tag)),
    };
  }

  /**
   * A page of the manifests that refer to another one.
   *
   * @param options.page  as the page before says; default: the first. `artifactType`: a registry may list only these.
   * @returns undefined where the registry has no such list, in whatever way it says so: 404 (distribution), 400 (Quay), 401 (Harbor), 406, or 200 with
   *   something else (sigstore-js#1187).
   */
  async getReferrers(
    subject: Digest,
    {
      page,
      artifactType,
      signal,
    }: WaitOptions & { readonly page?: URL | undefined; readonly artifactType?: string | undefined } = {},
  ): Promise<ReferrersPage | undefined> {
    const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
    const request = {
      ...this.#request('GET', `referrers/${subject}${query}`, {
        signal,
        headers: { accept: MediaType.ociIndex },
        answerBody: { maxBytes: MAX_PAGE_BYTES },
      }),
      ...(page && { url: page }),
    };
    const response = await this.#expect(request, [200, 400, 401, 403, 404, 405, 406, 410, 501]);
    const bytes = await readBody(response, request, MAX_PAGE_BYTES);
    const manifests = response.status === 200 ? parseReferrersPage(bytes) : undefined;
    return manifests && { manifests, next: nextPage(response, request.url) };
  }

  async headBlob(
    digest: Digest,
    {
      repository,
      scopes,
      signal,
    }: WaitOptions & {
      readonly repository?: string | undefined;
      /** Default: those of the client. */
      readonly scopes?: readonly string[] | undefined;
    } = {},
  ): Promise<BlobPresence> {
    const response = await this.#send(this.#request('HEAD', `blobs/${digest}`, { scopes, signal }, repository));
    await dumpBody(response);
    if (response.status === 200) {
      const length = header(response, 'content-length');
      return { present: true, size: length === undefined ? undefined : Number(length) };
    }
    return response.status === 404 ? { present: false } : 'unknown';
  }

  /** A blob's answer as it is, 200 or 206 or one that refuses the range (400, 416, 501); its body has to be consumed. */
  async getBlob(
    digest: Digest,
    {
      range,
      isFresh,
      ...call
    }: WaitOptions & {
      readonly range?: string | undefined;
      /** Past any cache on the way. */
      readonly isFresh?: boolean | undefined;
      readonly retries?: number | undefined;
      readonly mayPause?: boolean | undefined;
      /** Whether the blob is known to be shorter than `LONG_BODY`. */
      readonly isShort?: boolean | undefined;
      /** Whether who reads the answer gives its chunks back (`io/slabs.ts`). */
      readonly givesBack?: boolean | undefined;
    } = {},
  ): Promise<HttpResponse> {
    const headers = { ...(range !== undefined && { range }), ...(isFresh && NO_CACHE) };
    const request = this.#request('GET', `blobs/${digest}`, { ...call, headers, answerBody: 'stream' });
    return this.#expect(request, range === undefined ? [200] : [200, 206, 400, 416, 501]);
  }

  /**
   * A range of a blob from where a redirect led before, without credentials and retries.
   * @returns undefined where that URL does not give it any more: signed ones expire.
   */
  async getRedirectedBlob(
    url: URL,
    options: WaitOptions & {
      readonly range: string;
      readonly mayPause?: boolean | undefined;
      readonly givesBack?: boolean | undefined;
    },
  ): Promise<HttpResponse | undefined> {
    const { signal, range, mayPause, givesBack } = options;
    const call: Call = { signal, headers: { range }, retries: 0, answerBody: 'stream', mayPause, givesBack };
    const request = { ...this.#request('GET', '', call), url };
    const response = await this.#send(request).catch((error: unknown) => {
      signal?.throwIfAborted();
      if (error instanceof NetworkError) return undefined;
      throw error;
    });
    if (response === undefined || response.status === 200 || response.status === 206) return response;
    await dumpBody(response);
    return undefined;
  }

  /**
   * Opens an upload; with `mount`, the registry is asked to take the blob over from another of its repositories instead.
   * @returns the upload, or `mounted`. After an abort as well, where the request was on its way: else nobody could cancel the upload.
   */
  async startUpload({
    mount,
    algorithm = 'sha256',
    scopes,
    signal,
  }: WaitOptions & {
    readonly mount?: { readonly digest: Digest; readonly from: string } | undefined;
    /** Of the blob's digest: a registry may hash what comes by sha256 unless it is told. */
    readonly algorithm?: DigestAlgorithm | undefined;
    /** Default: those of the client. */
    readonly scopes?: readonly string[] | undefined;
  } = {}): Promise<UploadLocation | 'mounted'> {
    using late = delayedAbort(signal);
    const query = [
      ...(mount === undefined ? [] : [`mount=${mount.digest}&from=${encodeURIComponent(mount.from)}`]),
      ...(algorithm === 'sha256' ? [] : [`digest-algorithm=${algorithm}`]),
    ].join('&');
    const request = this.#request('POST', `blobs/uploads/${query && `?${query}`}`, {
      scopes,
      signal: late.signal,
      body: new Uint8Array(),
      // A refused mount costs nothing but the try; what it says is settled by the plain POST that follows.
      ...(mount && { retries: 1 }),
    });
    const response = await this.#expect(request, mount ? [201, 202] : [202]);
    await dumpBody(response);
    if (response.status === 201) return 'mounted';
    const minChunkBytes = Number(header(response, 'oci-chunk-min-length') ?? 0) || undefined;
    return { ...this.#location(request, response), minChunkBytes };
  }

  /** Appends bytes to an upload. Some registries say 201 where the specification says 202. */
  async patchUpload(upload: UploadLocation, body: RequestBody, options: SendBlobOptions = {}): Promise<UploadLocation> {
    const request = this.#uploadRequest('PATCH', upload.url, body, options);
    const response = await this.#expect(request, [200, 201, 202, 204]);
    await dumpBody(response);
    return this.#location(request, response, upload);
  }

  /** Ends an upload, with its last bytes or none: the registry checks the digest, and publishes the blob. */
  async closeUpload(
    upload: UploadLocation,
    digest: Digest,
    body: RequestBody | undefined,
    options: SendBlobOptions = {},
  ): Promise<void> {
    const url = withQuery(upload.url, `digest=${encodeURIComponent(digest)}`);
    const request = this.#uploadRequest('PUT', url, body ?? new Uint8Array(), options);
    await dumpBody(await this.#expect(request, [200, 201, 202, 204]));
  }

  /** How many bytes an upload holds. `0-0` may mean none or one: taken as none. */
  async uploadStatus(upload: UploadLocation, { signal }: WaitOptions = {}): Promise<UploadStatus> {
    const request = { ...this.#request('GET', '', { signal }), url: upload.url };
    const response = await this.#send(request);
    await dumpBody(response);
    if (response.status === 404 || response.status === 410) return 'gone';
    if (response.status !== 204 && response.status !== 202 && response.status !== 200) return 'unknown';
    const last = /^(?:bytes=)?0-(\d+)$/.exec(header(response, 'range') ?? '')?.[1];
    const offset = last === undefined || last === '0' ? 0 : Number(last) + 1;
    return { offset, upload: this.#location(request, response, upload) };
  }

  /**
   * Has the registry drop an upload.
   * @returns `refused` where it does not, which may be for the Location's sake.
   */
  async cancelUpload(upload: UploadLocation, { signal }: WaitOptions = {}): Promise<'done' | 'refused'> {
    const response = await this.#send({ ...this.#request('DELETE', '', { signal, retries: 0 }), url: upload.url });
    await dumpBody(response);
    const isDone = response.status < 300 || response.status === 404 || response.status === 410;
    return isDone ? 'done' : 'refused';
  }

  async #expect(request: HttpRequest, statuses: readonly number[]): Promise<HttpResponse> {
    const started = nowMs();
    const response = await this.#send(request);
    this.#roundTripMs = Math.min(this.#roundTripMs ?? Infinity, nowMs() - started);
    if (statuses.includes(response.status)) return response;
    throw await toRegistryError(request, response);
  }

  #request(method: HttpRequest['method'], path: string, call: Call, repository: string = this.repository): HttpRequest {
    const url = new URL(`${this.#apiRoot}/${repository}/${path}`, this.origin);
    if (this.#namespace !== undefined) url.searchParams.set('ns', this.#namespace);
    const kind = kindOf(method, path);
    return { headers: {}, ...call, method, url, side: this.side, kind, authOrigin: this.origin };
  }

  #uploadRequest(method: 'PATCH' | 'PUT', url: URL, body: RequestBody, options: SendBlobOptions): HttpRequest {
    const { length, contentRange, ...rest } = options;
    const headers = {
      'content-type': 'application/octet-stream',
      ...(contentRange && { 'content-range': contentRange }),
    };
    return { ...this.#request(method, '', { ...rest, headers, body, bodyLength: length }), url };
  }

  #location(request: HttpRequest, response: HttpResponse, previous?: UploadLocation): UploadLocation {
    const location = header(response, 'location');
    // An empty one would resolve to the URL that was asked.
    const url = location === undefined ? previous?.url : location.trim() && resolveUrl(location, response.url);
    if (url) return { ...previous, url: this.#asSecure(url) };
    throw new ImgcopyError(
      `${request.method} ${redactUrl(request.url)}: the Location of the upload is ${location ? 'not a valid http(s) URL' : 'missing'}`,
      {
        code: 'ERR_UPLOAD_LOCATION',
        side: this.side,
        hint: 'ask the operator of the registry: it, or a proxy in front of it, drops or breaks the Location header of uploads',
      },
    );
  }

  /** A registry behind a TLS proxy may believe that it is reached by http (distribution#2862): its own host is asked by https all the same. */
  #asSecure(url: URL): URL {
    const origin = new URL(this.origin);
    if (origin.protocol !== 'https:' || url.protocol !== 'http:' || url.hostname !== origin.hostname) return url;
    return atOrigin(url, origin.origin);
  }
}

/** Of a request to a path below the repository; an upload's own URL comes with an empty one. */
function kindOf(method: HttpRequest['method'], path: string): RequestKind {
  const isRead = method === 'GET' || method === 'HEAD';
  if (/^(?:manifests|referrers)\//.test(path)) return isRead ? 'manifest-read' : 'manifest-write';
  return isRead && path !== '' ? 'blob-read' : 'blob-write';
}

/** Reads the headers of an answer for a manifest. A digest that is none is left out. */
function manifestHead(response: HttpResponse): ManifestHead {
  const digest = header(response, 'docker-content-digest');
  const mediaType = header(response, 'content-type')?.split(';')[0]?.trim();
  const etag = header(response, 'etag');
  return {
    digest: digest !== undefined && isDigest(digest) ? digest : undefined,
    mediaType,
    ...(etag?.startsWith('"') && { etag }),
  };
}
