import type { TestContext } from 'node:test';
import { type Answer, type SeenRequest, startServer } from './test-server.ts';

export interface TokenRegistryOptions {
  /** Requests to the registry with a token, or with a valid Basic header; by default all are answered 200. */
  readonly serve?: (request: SeenRequest, grantedScopes: readonly string[]) => Answer | Promise<Answer>;
  /** Requests to the token server; undefined issues a token. */
  readonly refuseToken?: (request: SeenRequest) => Answer | undefined;
  readonly expiresIn?: number;
  /** What its tokens begin with. Default `token`. */
  readonly name?: string;
}

/** A registry that wants tokens, and the token server that issues them, `token-1` first. */
export interface TokenRegistry {
  readonly origin: string;
  readonly challenge: string;
  /** Requests that reached the registry. */
  readonly registryRequests: () => readonly SeenRequest[];
  readonly tokenRequests: () => readonly SeenRequest[];
  /** Makes all tokens issued so far invalid. */
  readonly revoke: () => void;
}

export async function startTokenRegistry(t: TestContext, options: TokenRegistryOptions = {}): Promise<TokenRegistry> {
  const granted = new Map<string, readonly string[]>();
  let issued = 0;
  const server = await startServer(t, (request) => {
    if (request.path === '/token') return options.refuseToken?.(request) ?? issue(request);
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    const scopes = granted.get(token);
    if (scopes !== undefined) return options.serve?.(request, scopes) ?? { status: 200 };
    const error = token === '' ? '' : ',error="invalid_token"';
    return { status: 401, headers: { 'www-authenticate': challenge + error }, body: 'no token' };
  });
  const challenge = `Bearer realm="${server.origin}/token",service="registry.test"`;

  function issue({ query, body }: SeenRequest): Answer {
    issued += 1;
    const token = `${options.name ?? 'token'}-${issued}`;
    granted.set(token, [...query.getAll('scope'), ...new URLSearchParams(body).getAll('scope')]);
    return { status: 200, body: JSON.stringify({ token, expires_in: options.expiresIn ?? 300 }) };
  }

  return {
    origin: server.origin,
    challenge,
    registryRequests: () => server.requests.filter(({ path }) => path !== '/token'),
    tokenRequests: () => server.requests.filter(({ path }) => path === '/token'),
    revoke: () => granted.clear(),
  };
}
