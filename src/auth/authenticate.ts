import type { Layer, Send } from '../http/send/send.ts';
import { AuthenticatedRegistry, type AuthenticateOptions } from './authenticated-registry.ts';
import { OriginChallenge } from './origin-challenge.ts';
import { TokenCache } from './token-cache.ts';

export type { AuthenticateOptions } from './authenticated-registry.ts';

export interface AuthorizerOptions {
  /** Sends token requests, which go to other hosts; expected to retry what can be retried. */
  readonly send: Send;
  /** In ms. Default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/**
 * Answers the challenges of registries. What was learned (challenges by origin; tokens by token server, account and scopes) is shared by
 * all layers of one authorizer, so that a run asks for each token once.
 */
export class Authorizer {
  readonly #tokens: TokenCache;
  readonly #challenges = new Map<string, OriginChallenge>();

  constructor({ send, now = Date.now }: AuthorizerOptions) {
    this.#tokens = new TokenCache({ send, now });
  }

  /**
   * A layer that sends requests to the registry's origin (`request.authOrigin`, else `options.origin`) with the Authorization it asks for.
   * The first request of an origin goes out bare and learns the challenge, while others wait for its answer. A refused request is sent
   * again with credentials, with a fresh token, or with the scopes it lacked: once each. A refusal that credentials cannot mend is handed
   * back as it came.
   *
   * Requests throw TokenRequestError where the token server refuses, AuthFileError from the look-up of credentials, and ImgcopyError
   * `ERR_BODY_NOT_REPLAYABLE` where a bare stream would have to be sent again; the next request then has what this one lacked.
   */
  layer(options: AuthenticateOptions): Layer {
    const registry = new AuthenticatedRegistry(options, {
      tokens: this.#tokens,
      challengeOf: (origin) => this.#challengeOf(origin),
    });
    return (next) => (request) => registry.send(request, next);
  }

  #challengeOf(origin: string): OriginChallenge {
    const known = this.#challenges.get(origin) ?? new OriginChallenge();
    this.#challenges.set(origin, known);
    return known;
  }
}
