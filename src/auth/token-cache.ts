import type { Send } from '../http/send/send.ts';
import { repositoryOfScope } from './scope.ts';
import { SharedCall } from './shared-call.ts';
import { type BearerToken, fetchToken, type TokenRequest, TokenRequestError } from './token.ts';

export interface TokenCacheOptions {
  /** Sends token requests; expected to retry what can be retried. */
  readonly send: Send;
  /** In ms. */
  readonly now: () => number;
}

export interface CachedToken {
  readonly value: string;
  /** Whether it was there before it was asked for: then it may have been revoked, or have expired by the server's clock. */
  readonly wasCached: boolean;
}

/** A token is renewed when less than this share of its life is left, or less than this time. */
const RENEWAL_SHARE = 0.2;
const RENEWAL_MS = 15_000;

/** Statuses by which a token server refuses the scopes of several repositories together, where each alone might do. */
const REFUSED_TOGETHER: ReadonlySet<number> = new Set([400, 401, 403]);

/** The tokens of a run, one for each token server, account and set of scopes; whoever needs the same one waits for the same request. */
export class TokenCache {
  readonly #options: TokenCacheOptions;
  readonly #tokens = new Map<string, BearerToken>();
  readonly #calls = new Map<string, SharedCall<BearerToken>>();
  readonly #narrowed = new Set<string>();

  constructor(options: TokenCacheOptions) {
    this.#options = options;
  }

  /**
   * A token that lives long enough for a request. Where the server refuses the scopes of several repositories together, it is one for the
   * first scope alone: a push continues without its mounts.
   *
   * @param rejected  a token that the registry refused: never handed out again.
   * @throws what `fetchToken` throws.
   */
  async token(request: TokenRequest, options: { readonly rejected?: string | undefined } = {}): Promise<CachedToken> {
    const key = cacheKey(request);
    const known = this.#tokens.get(key);
    if (known !== undefined && known.value !== options.rejected && this.#isFresh(known)) {
      return { value: known.value, wasCached: true };
    }
    const { value } = await this.#call(key, request).join(request.signal);
    return { value, wasCached: false };
  }

  #isFresh({ receivedAt, lifetimeMs }: BearerToken): boolean {
    const left = receivedAt + lifetimeMs - this.#options.now();
    return left >= Math.max(RENEWAL_MS, lifetimeMs * RENEWAL_SHARE);
  }

  #call(key: string, request: TokenRequest): SharedCall<BearerToken> {
    const running = this.#calls.get(key);
    if (running !== undefined && !running.isOver) return running;
    const call = new SharedCall(async (signal) => {
      try {
        const token = await this.#fetch(key, { ...request, signal });
        this.#tokens.set(key, token);
        return token;
      } finally {
        if (this.#calls.get(key) === call) this.#calls.delete(key);
      }
    });
    this.#calls.set(key, call);
    return call;
  }

  async #fetch(key: string, request: TokenRequest): Promise<BearerToken> {
    const { send, now } = this.#options;
    const narrow = { ...request, scopes: request.scopes.slice(0, 1) };
    if (this.#narrowed.has(key)) return fetchToken(narrow, send, now);
    try {
      return await fetchToken(request, send, now);
    } catch (error) {
      const isTogether = new Set(request.scopes.map(repositoryOfScope)).size > 1;
      if (!isTogether || !(error instanceof TokenRequestError) || !REFUSED_TOGETHER.has(error.status)) throw error;
      const token = await fetchToken(narrow, send, now);
      this.#narrowed.add(key);
      return token;
    }
  }
}

function cacheKey({ realm, service, credentials, scopes, registryOrigin }: TokenRequest): string {
  return JSON.stringify([registryOrigin, realm, service, credentials, scopes.toSorted()]);
}
