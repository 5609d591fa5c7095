import type { Exchange } from './exchange.ts';
import type { AuthOptions } from './options.ts';

/** What may be done in a repository. */
export interface Access {
  readonly repository: string;
  /** `pull`, `push`, `delete` */
  readonly actions: readonly string[];
}

/** A token that was issued. */
export interface IssuedToken {
  readonly token: string;
  readonly user: string | undefined;
  /** As asked for. */
  readonly scopes: readonly string[];
  readonly access: readonly Access[];
  readonly method: 'GET' | 'POST';
  readonly expiresAt: number;
}

/** Who may do what in a registry, and the token server. */
export class Auth {
  readonly #options: AuthOptions;
  readonly #registryUrl: () => string;
  readonly #exists: (repository: string) => boolean;
  #issued: IssuedToken[] = [];
  #valid = new Map<string, IssuedToken>();
  #count = 0;

  /** @param exists  whether a repository is there. */
  constructor(options: AuthOptions, registryUrl: () => string, exists: (repository: string) => boolean) {
    this.#options = options;
    this.#registryUrl = registryUrl;
    this.#exists = exists;
  }

  /** The URL of the token server. */
  get realm(): string {
    return this.#options.realm ?? `${this.#registryUrl()}/token`;
  }

  /** The tokens issued since the last reset. */
  get issued(): readonly IssuedToken[] {
    return this.#issued;
  }

  reset(): void {
    this.#issued = [];
  }

  /** Makes every token that was issued so far invalid. */
  revoke(): void {
    this.#valid.clear();
  }

  /** @returns whether the request may go on; if not, it has been answered. */
  async admit(exchange: Exchange, needs: readonly Access[]): Promise<boolean> {
    if (this.#options.kind === 'basic') return await this.#admitBasic(exchange, needs);
    const [scheme, value = ''] = (exchange.header('authorization') ?? '').split(' ');
    const token = scheme?.toLowerCase() === 'bearer' ? this.#valid.get(value) : undefined;
    const isFresh = token !== undefined && token.expiresAt > Date.now();
    if (isFresh && needs.every((need) => covers(token.access, need))) return true;
    const problem = value === '' ? undefined : isFresh ? 'insufficient_scope' : 'invalid_token';
    const { lackingChallenge = 'bearer' } = this.#options;
    if (isFresh && lackingChallenge !== 'bearer')
      await this.#challenge(exchange, lackingChallenge === 'basic' ? 'Basic realm="test registry"' : undefined);
    else await this.#challenge(exchange, this.#bearerChallenge(needs, problem));
    return false;
  }

  /** GET and POST of the token server. @see https://distribution.github.io/distribution/spec/auth/token/ and …/auth/oauth/ */
  async handleToken(exchange: Exchange): Promise<void> {
    if (exchange.method === 'POST') return await this.#handleOauth2(exchange);
    const user = this.#basicUser(exchange);
    if (user === 'wrong') return await exchange.fail(401, 'UNAUTHORIZED', 'incorrect username or password');
    await this.#issue(exchange, user?.name, exchange.url.searchParams.getAll('scope').flatMap(splitScopes));
  }

  async #handleOauth2(exchange: Exchange): Promise<void> {
    const { oauth2 = true, username, password, refreshToken } = this.#options;
    const form = new URLSearchParams((await exchange.wholeBody(64 * 1024))?.toString('utf8'));
    if (oauth2 === 405) return await exchange.fail(405, 'UNSUPPORTED', 'the operation is unsupported');
    if (!oauth2)
      return await exchange.answer(404, { 'content-type': 'text/plain' }, Buffer.from('404 page not found\n'));
    const byRefresh = form.get('grant_type') === 'refresh_token' && form.get('refresh_token') === refreshToken;
    const byPassword = form.get('username') === username && form.get('password') === password;
    if (!byRefresh && !(form.get('grant_type') === 'password' && byPassword)) {
      return await exchange.fail(401, 'UNAUTHORIZED', 'invalid grant');
    }
    await this.#issue(exchange, username, splitScopes(form.get('scope') ?? ''));
  }

  async #issue(exchange: Exchange, user: string | undefined, scopes: readonly string[]): Promise<void> {
    const {
      username,
      anonymousPull = false,
      expiresInSeconds = 300,
      severalScopes = 'all',
      refreshToken,
    } = this.#options;
    if (user === undefined && username !== undefined && !anonymousPull) {
      return await exchange.fail(401, 'UNAUTHORIZED', 'authentication required');
    }
    if (scopes.length > 1 && severalScopes === 'refuse')
      return await exchange.fail(403, 'DENIED', 'one scope at a time');
    const asked = (severalScopes === 'first' ? scopes.slice(0, 1) : scopes).map(parseScope);
    const access = asked.map(({ repository, actions }) => ({
      repository,
      actions: actions.filter((action) => this.#may(user, repository, action)),
    }));
    const { withoutAccess, tellsExpiry = true } = this.#options;
    const isUseless = access.length > 0 && access.every(({ actions }) => actions.length === 0);
    if (isUseless && withoutAccess !== undefined)
      return await exchange.fail(withoutAccess, 'DENIED', 'requested access to the resource is denied');
    this.#count += 1;
    const method = exchange.method === 'POST' ? 'POST' : 'GET';
    const token = `token-${this.#count}-${'x'.repeat(32)}`;
    const issued = { token, user, scopes, access, method, expiresAt: Date.now() + expiresInSeconds * 1000 } as const;
    this.#issued.push(issued);
    this.#valid.set(token, issued);
    const field = method === 'POST' ? 'access_token' : (this.#options.tokenField ?? 'token');
    const fields = field === 'both' ? ['token', 'access_token'] : [field];
    const offline = exchange.query('offline_token') === 'true' || method === 'POST' ? refreshToken : undefined;
    await exchange.answerJson({
      ...Object.fromEntries(fields.map((name) => [name, token])),
      ...(tellsExpiry ? { expires_in: expiresInSeconds, issued_at: new Date().toISOString() } : {}),
      ...(offline === undefined ? {} : { refresh_token: offline }),
    });
  }

  async #admitBasic(exchange: Exchange, needs: readonly Access[]): Promise<boolean> {
    const user = this.#basicUser(exchange);
    const { username, anonymousPull = false } = this.#options;
    const pullsOnly = needs.every(({ actions }) => actions.every((action) => action === 'pull'));
    if (user === 'wrong' || (user === undefined && username !== undefined && !(anonymousPull && pullsOnly))) {
      await this.#challenge(exchange, 'Basic realm="test registry"');
      return false;
    }
    const isAllowed = needs.every(({ repository, actions }) =>
      actions.every((action) => this.#may(user?.name, repository, action)),
    );
    const { status, code, message } = this.#options.forbidden ?? { status: 403, code: 'DENIED' };
    if (!isAllowed) await exchange.fail(status, code, message ?? 'requested access to the resource is denied');
    return isAllowed;
  }

  /** Who the Basic credentials name; undefined where there are none. */
  #basicUser(exchange: Exchange): { readonly name: string } | 'wrong' | undefined {
    const [scheme, value = ''] = (exchange.header('authorization') ?? '').split(' ');
    if (scheme?.toLowerCase() !== 'basic') return undefined;
    const { username = '', password = '' } = this.#options;
    const isRight = Buffer.from(value, 'base64').toString('utf8') === `${username}:${password}`;
    return isRight ? { name: username } : 'wrong';
  }

  #may(user: string | undefined, repository: string, action: string): boolean {
    const { username, grant } = this.#options;
    if (grant !== undefined && !grant(user, repository, action, this.#exists(repository))) return false;
    return username === undefined || user !== undefined || action === 'pull';
  }

  #bearerChallenge(needs: readonly Access[], problem: string | undefined): string {
    const registry = this.#registryUrl();
    const scopes = needs.map(({ repository, actions }) => `repository:${repository}:${actions.join(',')}`);
    return [
      `Bearer realm="${this.realm}",service="${new URL(registry).host}"`,
      ...(scopes.length === 0 ? [] : [`scope="${scopes.join(' ')}"`]),
      ...(problem === undefined ? [] : [`error="${problem}"`]),
    ].join(',');
  }

  async #challenge(exchange: Exchange, challenge: string | undefined): Promise<void> {
    const body = { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required', detail: null }] };
    const named = challenge === undefined ? {} : { 'www-authenticate': challenge };
    const headers = { 'content-type': 'application/json', ...named };
    await exchange.answer(401, headers, Buffer.from(JSON.stringify(body)));
  }
}

function covers(access: readonly Access[], need: Access): boolean {
  return need.actions.every((action) =>
    access.some(({ repository, actions }) => repository === need.repository && actions.includes(action)),
  );
}

function splitScopes(scope: string): readonly string[] {
  return scope.split(' ').filter((part) => part !== '');
}

function parseScope(scope: string): Access {
  const [, repository = '', actions = ''] = /^repository:(.+):([^:]*)$/.exec(scope) ?? [];
  return { repository, actions: actions.split(',') };
}
