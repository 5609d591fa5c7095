import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { dumpBody } from '../http/send/body.ts';
import { redactUrl } from '../http/send/network-error.ts';
import type { HttpRequest, HttpResponse, Send } from '../http/send/send.ts';
import { type Challenge, isSupported, parseChallenges, selectChallenge, type SupportedChallenge } from './challenge.ts';
import { type CredentialSearch, type CredentialSource, NO_CREDENTIALS } from './credential-search.ts';
import { basicAuthorization } from './credentials.ts';
import { explainDenial } from './denial.ts';
import type { OriginChallenge } from './origin-challenge.ts';
import { includesScopes, mergeScopes, orderScopes, splitScopes } from './scope.ts';
import { orAborted } from '../io/or-aborted.ts';
import type { CachedToken, TokenCache } from './token-cache.ts';
import { TokenRequestError } from './token.ts';

export interface AuthenticateOptions {
  /** Undefined: anonymous. */
  readonly credentials?: CredentialSource | undefined;
  /** The registry's origin, e.g. `https://registry.test`; requests to any other origin go through as they are. */
  readonly origin: string;
  /** Token scopes of requests that name none themselves; the one that matters most comes first. */
  readonly scopes: readonly string[];
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** What all clients of an authorizer have in common. */
export interface SharedAuthorization {
  readonly tokens: TokenCache;
  readonly challengeOf: (origin: string) => OriginChallenge;
}

/** An Authorization header, and the token in it where a token server gave one. */
interface Authorization {
  readonly header: string;
  readonly token?: CachedToken & { readonly challenge: SupportedChallenge; readonly scopes: readonly string[] };
}

interface Attempt {
  /** Undefined when the request went out bare. */
  readonly authorization: Authorization | undefined;
  readonly response: HttpResponse;
  /** Whether credentials may be what a bare request lacked. */
  readonly isRefused?: boolean;
}

/** The address that tells what a registry is, and whether it wants credentials. */
const ROOT = '/v2/';

/** Statuses by which a registry may hide what is there. */
const MAY_HIDE: ReadonlySet<number> = new Set([403, 404]);

/** What may mend the refusal of a token; each is tried once a request. */
type Remedy = 'renew' | 'widen';

/** Sends one client's requests to its registry, with what the registry asks for. */
export class AuthenticatedRegistry {
  readonly #options: AuthenticateOptions;
  readonly #shared: SharedAuthorization;
  /** By origin; on some hosts each repository names a token server of its own, so a client goes by the challenges it was given itself. */
  readonly #challenges = new Map<string, readonly SupportedChallenge[]>();
  /** What to ask a token for, where a challenge named other scopes than ours: a gateway may know the repository by another name. */
  readonly #widened = new Map<string, readonly string[]>();
  #search: Promise<CredentialSearch> | undefined;
  #areAtHand: Promise<boolean> | undefined;

  constructor(options: AuthenticateOptions, shared: SharedAuthorization) {
    this.#options = options;
    this.#shared = shared;
  }

  async send(request: HttpRequest, next: Send): Promise<HttpResponse> {
    const { origin } = new URL(request.authOrigin ?? this.#options.origin);
    if (request.url.origin !== origin) return next(request);
    try {
      return await this.#explain(await this.#sendWithCredentials(request, origin, next), request, origin);
    } catch (error) {
      if (!(error instanceof TokenRequestError) || error.kind !== 'denied') throw error;
      const search = await this.#search;
      const denial = explainDenial({
        status: error.status,
        side: request.side,
        origin,
        isAuthorized: true,
        hasToken: false,
        search,
      });
      throw error.explained(denial, request.side);
    }
  }

  async #explain({ response, authorization }: Attempt, { side }: HttpRequest, origin: string): Promise<HttpResponse> {
    const { status, url } = response;
    if ((status !== 401 && status !== 403) || url.origin !== origin) return response;
    const search = await this.#search;
    const [isAuthorized, hasToken] = [authorization !== undefined, authorization?.token !== undefined];
    return { ...response, denial: explainDenial({ status, side, origin, isAuthorized, hasToken, search }) };
  }

  async #sendWithCredentials(request: HttpRequest, origin: string, next: Send): Promise<Attempt> {
    let attempt = await this.#sendFirst(request, origin, next);
    const tried = new Set<Remedy>();
    for (;;) {
      const authorization = await this.#mend(attempt, { request, origin, tried });
      if (authorization === undefined) return attempt;
      if (isOneShot(request)) throw notReplayable(request, attempt.response.status);
      attempt = { authorization, response: await exchange(request, authorization, next) };
    }
  }

  async #sendFirst(request: HttpRequest, origin: string, next: Send): Promise<Attempt> {
    const learned = this.#shared.challengeOf(origin);
    // A body that comes from this origin as well, would wait for the very requests that wait for its answer.
    const leave = isStreamed(request) ? () => undefined : await learned.enter(request.side, request.signal);
    try {
      const isPrepared = this.#knowsCredentials() || this.#challengesOf(origin).length > 0;
      const authorization = isPrepared ? await this.#authorize(request, origin) : undefined;
      const response = await exchange(request, authorization, next);
      const isBare = authorization === undefined;
      // A redirect that was followed is an answer as well: registry.k8s.io has no others.
      if (isBare && (response.status < 400 || response.url.origin !== origin)) learned.open();
      if (response.url.origin !== origin) return { authorization, response };
      const isRefused = response.status === 401 || (isBare && (await this.#isHidden(request, response, learned)));
      const unsupported = await learned.learn(response, { isRefused, ping: () => ping(request, origin, next) });
      if (unsupported.length > 0) this.#warnOf(unsupported, origin);
      if (isBare) this.#noteScopes(request, origin, response);
      return { authorization, response, isRefused };
    } finally {
      leave();
    }
  }

  /**
   * Whether an image that is not there, or forbidden, may be there for somebody who is known: some registries hide what is not public, and
   * send no challenge. Not where a bare request has succeeded before, or there are no credentials that could help.
   */
  async #isHidden(request: HttpRequest, { status }: HttpResponse, learned: OriginChallenge): Promise<boolean> {
    if (!MAY_HIDE.has(status) || learned.isOpen || isOneShot(request)) return false;
    const { credentials } = this.#options;
    if (credentials === undefined) return false;
    if (!('find' in credentials)) return credentials.credentials !== undefined;
    // Files are read for it, and of many blobs each may be missing.
    return await (this.#areAtHand ??= orForget(credentials.areAtHand(), () => (this.#areAtHand = undefined)));
  }

  /** A better Authorization than that of a refused request; undefined when there is none, and the refusal stands. */
  async #mend(
    { authorization, response, isRefused = false }: Attempt,
    { request, origin, tried }: { readonly request: HttpRequest; readonly origin: string; readonly tried: Set<Remedy> },
  ): Promise<Authorization | undefined> {
    const { status } = response;
    // A host that the registry redirects to has no say in where credentials go.
    if (response.url.origin !== origin) return undefined;
    if (authorization === undefined) return isRefused ? this.#authorize(request, origin) : undefined;
    if (status !== 401 && status !== 403) return undefined;
    const { token } = authorization;
    if (token === undefined) return undefined;

    const offered = offeredBy(response);
    const advertised = scopesOf(offered);
    if (!includesScopes(token.scopes, advertised)) {
      return firstTime(tried, 'widen')
        ? this.#widen(request, origin, mergeScopes(advertised, token.scopes))
        : undefined;
    }
    const [bearer] = offered.filter(({ scheme }) => scheme === 'bearer');
    const isLacking = bearer?.parameters.get('error') === 'insufficient_scope';
    if (status === 403 || isLacking || !firstTime(tried, 'renew')) return undefined;
    if (bearer !== undefined && isOtherTokenServer(bearer, token.challenge)) {
      this.#challenges.set(origin, offered);
      return this.#authorize(request, origin);
    }
    return token.wasCached
      ? this.#authorize(request, origin, { scopes: token.scopes, rejected: token.value })
      : undefined;
  }

  async #widen(request: HttpRequest, origin: string, scopes: readonly string[]): Promise<Authorization | undefined> {
    try {
      const authorization = await this.#authorize(request, origin, { scopes });
      this.#widened.set(this.#scopeKey(request, origin), scopes);
      return authorization;
    } catch (error) {
      // The registry's own refusal says more than that of a token server which was asked for what the registry advertised.
      if (isScopeRefusal(error)) return undefined;
      throw error;
    }
  }

  /** Takes the scopes that a challenge names before a token is asked for. The root names none that count: GHCR's has an example there. */
  #noteScopes(request: HttpRequest, origin: string, response: HttpResponse): void {
    const advertised = response.status === 401 && request.url.pathname !== ROOT ? scopesOf(offeredBy(response)) : [];
    const own = this.#ownScopes(request);
    if (includesScopes(own, advertised)) return;
    this.#widened.set(this.#scopeKey(request, origin), mergeScopes(advertised, own));
  }

  async #authorize(
    request: HttpRequest,
    origin: string,
    options: { readonly scopes?: readonly string[]; readonly rejected?: string } = {},
  ): Promise<Authorization | undefined> {
    const { credentials } = await this.#lookUpCredentials(request.signal);
    if (credentials?.kind === 'registry-token') return { header: `Bearer ${credentials.token}` };
    const challenge = selectChallenge(this.#challengesOf(origin), credentials);
    if (challenge === undefined) return undefined;
    if (challenge.scheme === 'basic') {
      return credentials?.kind === 'basic'
        ? { header: basicAuthorization(credentials.username, credentials.password) }
        : undefined;
    }
    const { side, signal, observer } = request;
    const [realm, service] = [challenge.parameters.get('realm'), challenge.parameters.get('service')];
    const { rejected } = options;
    const askFor = async (scopes: readonly string[]): Promise<Authorization> => {
      const wanted = { realm, service, scopes, credentials, registryOrigin: origin, side, signal, observer };
      const token = await this.#shared.tokens.token(wanted, { rejected });
      return { header: `Bearer ${token.value}`, token: { ...token, challenge, scopes } };
    };
    if (options.scopes !== undefined) return askFor(options.scopes);
    const key = this.#scopeKey(request, origin);
    const widened = this.#widened.get(key);
    if (widened === undefined) return askFor(this.#ownScopes(request));
    try {
      return await askFor(widened);
    } catch (error) {
      // What a challenge names may be nonsense that docker, which does not look at it, never meets.
      if (!isScopeRefusal(error)) throw error;
      this.#widened.delete(key);
      return askFor(this.#ownScopes(request));
    }
  }

  #ownScopes({ scopes = this.#options.scopes }: HttpRequest): readonly string[] {
    return orderScopes(scopes);
  }

  #scopeKey(request: HttpRequest, origin: string): string {
    return JSON.stringify([origin, ...this.#ownScopes(request)]);
  }

  #challengesOf(origin: string): readonly SupportedChallenge[] {
    return this.#challenges.get(origin) ?? this.#shared.challengeOf(origin).challenges;
  }

  #knowsCredentials(): boolean {
    const { credentials } = this.#options;
    return this.#search !== undefined || (credentials !== undefined && !('find' in credentials));
  }

  #lookUpCredentials(signal: AbortSignal | undefined): Promise<CredentialSearch> {
    const { credentials = NO_CREDENTIALS } = this.#options;
    this.#search ??=
      'find' in credentials
        ? orForget(credentials.find(), () => (this.#search = undefined))
        : Promise.resolve(credentials);
    return orAborted(this.#search, signal);
  }

  #warnOf(schemes: readonly string[], origin: string): void {
    this.#options.onWarning?.(
      `${origin} asks for authentication by ${schemes.join(' or ')}, which imgcopy does not support; it is asked without credentials`,
    );
  }
}

/** Where looking fails, whoever needs it next looks again. */
function orForget<T>(looking: Promise<T>, forget: () => void): Promise<T> {
  looking.catch(forget);
  return looking;
}

async function exchange(
  request: HttpRequest,
  authorization: Authorization | undefined,
  next: Send,
): Promise<HttpResponse> {
  const headers = { ...request.headers, ...(authorization !== undefined && { authorization: authorization.header }) };
  return next({ ...request, headers });
}

async function ping(
  { side, signal, observer, authOrigin }: HttpRequest,
  origin: string,
  next: Send,
): Promise<readonly Challenge[]> {
  const response = await next({ method: 'GET', url: new URL(ROOT, origin), side, signal, observer, authOrigin });
  await dumpBody(response);
  return response.status === 401 ? parseChallenges(response.headers['www-authenticate']) : [];
}

function offeredBy({ headers }: HttpResponse): readonly SupportedChallenge[] {
  return parseChallenges(headers['www-authenticate']).filter(isSupported);
}

function scopesOf(challenges: readonly SupportedChallenge[]): readonly string[] {
  return challenges.flatMap(({ parameters }) => splitScopes(parameters.get('scope')));
}

/** Whether a token server refuses what it was asked for: not that it is busy, or broken. */
function isScopeRefusal(error: unknown): boolean {
  return error instanceof TokenRequestError && (error.kind === 'denied' || error.status === 400);
}

/** Harbor offers Basic to a token that lacks a scope: that is no other token server. */
function isOtherTokenServer(offered: SupportedChallenge, current: SupportedChallenge): boolean {
  const differs = (name: string): boolean => offered.parameters.get(name) !== current.parameters.get(name);
  return offered.scheme === 'bearer' && (differs('realm') || differs('service'));
}

function firstTime(tried: Set<Remedy>, remedy: Remedy): boolean {
  const isFirst = !tried.has(remedy);
  tried.add(remedy);
  return isFirst;
}

function isStreamed({ body }: HttpRequest): boolean {
  return body !== undefined && !(body instanceof Uint8Array);
}

function isOneShot(request: HttpRequest): boolean {
  return isStreamed(request) && typeof request.body !== 'function';
}

function notReplayable({ method, url, side }: HttpRequest, status: number): ImgcopyError {
  return new ImgcopyError(
    `${method} ${redactUrl(url)}: ${status}, and the body that went with it is a stream that cannot be sent again with fresh credentials`,
    { code: 'ERR_BODY_NOT_REPLAYABLE', side },
  );
}
