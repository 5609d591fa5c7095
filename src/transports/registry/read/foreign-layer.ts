import type { Digest } from '../../../digest/digest.ts';
import { ImgcopyError } from '../../../errors/imgcopy-error.ts';
import {
  isPassing,
  isPassingAnswer,
  redactUrl,
  resolveUrl,
  type HttpRequest,
  type HttpResponse,
  type RequestObserver,
  type RetryPolicy,
  type Send,
} from '../../../http/index.ts';
import { addressScope } from '../../../io/address-scope.ts';
import { Attempts } from '../../../retry/attempts.ts';
import type { BlobInfo } from '../../../contract/blob-info.ts';
import { NO_CACHE, type RegistryClient } from '../client.ts';
import { RegistryError, toRegistryError } from '../registry-error.ts';

type ForeignBlobOptions = Pick<NonNullable<Parameters<RegistryClient['getBlob']>[1]>, 'range' | 'isFresh' | 'signal'>;

export interface ForeignLayerOptions {
  /** Sends without credentials. */
  readonly send: Send;
  /** The registry that named the URLs: alone among the addresses of this machine and network, it may be one of them. */
  readonly registryOrigin: string;
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
}

/**
 * A layer that its manifest says is kept elsewhere, read from there. Whoever made the manifest chose the URLs, so they get no credentials, no
 * patience, and no way to what only this machine can reach.
 */
export class ForeignLayer {
  readonly side = 'source';
  readonly #options: ForeignLayerOptions;
  /** The one that answered last comes first. */
  #urls: readonly string[];

  constructor(info: BlobInfo, options: ForeignLayerOptions) {
    this.#urls = info.urls ?? [];
    this.#options = options;
  }

  /**
   * The answer of the first URL that has the layer; its body has to be consumed.
   * @throws ImgcopyError that says why the last of them has not.
   */
  async getBlob(digest: Digest, options: ForeignBlobOptions = {}): Promise<HttpResponse> {
    const { policy, observer } = this.#options;
    const { range, signal } = options;
    const attempts = new Attempts({
      // Who asks for the rest of a layer counts its retries itself.
      policy: { ...policy, retries: range === undefined ? Math.min(1, policy.retries) : 0 },
      signal,
      notify: (next) => observer?.onRetry?.({ side: this.side, what: `foreign layer ${digest}`, ...next }),
    });
    for (;;) {
      const answer = await this.#askEach(digest, options);
      if (!(answer instanceof ImgcopyError)) return answer;
      if (!mayPass(answer) || !(await attempts.again({ why: answer.message }))) throw answer;
    }
  }

  async #askEach(digest: Digest, options: ForeignBlobOptions): Promise<HttpResponse | ImgcopyError> {
    let failure = new ImgcopyError(`foreign layer ${digest} names no http(s) URL`, { code: 'ERR_FOREIGN_URL' });
    for (const text of this.#urls) {
      try {
        const response = await this.#ask(text, options);
        this.#urls = [text, ...this.#urls.filter((other) => other !== text)];
        return response;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (!(error instanceof ImgcopyError)) throw error;
        failure = error;
      }
    }
    return failure;
  }

  async #ask(text: string, { range, isFresh, signal }: ForeignBlobOptions): Promise<HttpResponse> {
    const { send, registryOrigin } = this.#options;
    const url = resolveUrl(text);
    if (url === undefined)
      throw new ImgcopyError(`${JSON.stringify(text)} is not an http(s) URL`, { code: 'ERR_FOREIGN_URL' });
    const checkUrl = (next: URL): void => refuseAddressBesideUs(next, registryOrigin);
    checkUrl(url);
    const request: HttpRequest = {
      method: 'GET',
      url,
      side: this.side,
      signal,
      kind: 'blob-read',
      answerBody: 'stream',
      headers: { ...(range !== undefined && { range }), ...(isFresh && NO_CACHE) },
      retries: 0,
      mayWait: false,
      checkUrl,
    };
    const response = await send(request);
    if (response.status === 200 || (range !== undefined && response.status === 206)) return response;
    throw await toRegistryError(request, response);
  }
}

/** Not a rate limit: other places may have the layer, and who set the limit may not have been meant to be asked. */
function mayPass(error: ImgcopyError): boolean {
  return error instanceof RegistryError ? isPassingAnswer(error.status, error.codes) : isPassing(error);
}

function refuseAddressBesideUs(url: URL, registryOrigin: string): void {
  const scope = addressScope(url.hostname);
  if (scope === undefined || url.hostname === new URL(registryOrigin).hostname) return;
  throw new ImgcopyError(`${redactUrl(url)} is a ${scope} address, which a foreign layer must not lead to`, {
    code: 'ERR_FOREIGN_URL',
    side: 'source',
  });
}
