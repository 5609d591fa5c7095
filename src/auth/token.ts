import { ImgcopyError, type ErrorKind, type Side } from '../errors/imgcopy-error.ts';
import { parseErrorBody } from '../errors/error-body.ts';
import { quote } from '../errors/printable.ts';
import { dumpBody, readBody } from '../http/send/body.ts';
import { refuseLinkLocal } from '../http/send/link-local.ts';
import { redactUrl } from '../http/send/network-error.ts';
import type { HttpRequest, HttpResponse, RequestObserver, Send } from '../http/send/send.ts';
import {
  basicAuthorization,
  type BasicCredentials,
  type IdentityTokenCredentials,
  TOKEN_USERNAME,
} from './credentials.ts';
import type { Denial } from './denial.ts';

/** What a token is asked for. */
export interface TokenRequest {
  /** The token server's address, as the challenge has it. */
  readonly realm: string | undefined;
  readonly service: string | undefined;
  /** E.g. `repository:app:pull,push`. */
  readonly scopes: readonly string[];
  /** Undefined asks for an anonymous token. */
  readonly credentials: BasicCredentials | IdentityTokenCredentials | undefined;
  /** The origin of the registry that sent the challenge. */
  readonly registryOrigin: string;
  readonly side: Side;
  readonly signal?: AbortSignal | undefined;
  /** Of the request that needs the token. */
  readonly observer?: RequestObserver | undefined;
}

export interface BearerToken {
  readonly value: string;
  /** When the answer came, in ms of the clock given. */
  readonly receivedAt: number;
  /** In ms; by our own clock, for that of the token server may be wrong. */
  readonly lifetimeMs: number;
}

/** A token server that answers with an error status. */
export class TokenRequestError extends ImgcopyError {
  readonly status: number;

  constructor(message: string, options: { status: number; side: Side; hint?: string }) {
    const { status, ...rest } = options;
    super(message, { code: 'ERR_TOKEN_REQUEST', kind: kindOf(status), ...rest });
    this.status = status;
  }

  /** The same, with which credentials were sent, and what to do. */
  explained({ sent, hint }: Denial, side: Side): TokenRequestError {
    return new TokenRequestError(`${this.message}; ${sent}`, { status: this.status, side, hint });
  }
}

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_MESSAGE_LENGTH = 200;
const MIN_LIFETIME_SECONDS = 60;
const CLIENT_ID = 'imgcopy';

/**
 * Fetches a token, by POST with an identity token, else by GET, with Basic where there are credentials. The scopes are asked for in
 * the order given: some token servers honour the first alone.
 *
 * @param send  is expected to retry what can be retried.
 * @throws TokenRequestError when the server answers with an error; of kind `denied` for 401 and 403.
 * @throws ImgcopyError `ERR_INSECURE_TOKEN_REALM` when credentials for an https registry would go over http, `ERR_LINK_LOCAL_ADDRESS`.
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @see https://distribution.github.io/distribution/spec/auth/oauth/
 */
export async function fetchToken(request: TokenRequest, send: Send, now: () => number): Promise<BearerToken> {
  const realm = checkedRealm(request);
  if (request.credentials?.kind === 'identity-token') {
    const post = postRequest(realm, request, request.credentials);
    const response = await send(post);
    // Servers without OAuth2 know the GET alone.
    if (response.status !== 404 && response.status !== 405) return readToken(response, post, { request, now });
    await dumpBody(response);
  }
  const get = getRequest(realm, request);
  return readToken(await send(get), get, { request, now });
}

function checkedRealm({ realm, registryOrigin, side }: TokenRequest): URL {
  const url = realm === undefined ? null : URL.parse(realm);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ImgcopyError(
      `${registryOrigin} asks for a token from ${realm === undefined ? 'nowhere' : quote(realm, MAX_MESSAGE_LENGTH)}: expected an http(s) URL`,
      {
        code: 'ERR_INVALID_TOKEN_REALM',
        side,
      },
    );
  }
  if (url.protocol === 'http:' && registryOrigin.startsWith('https:')) {
    throw new ImgcopyError(
      `${registryOrigin} asks for a token from ${redactUrl(url)}: expected an https URL, as the registry's own is`,
      {
        code: 'ERR_INSECURE_TOKEN_REALM',
        side,
        hint: "credentials are not sent over plain http; ask the registry's operator to serve tokens over https",
      },
    );
  }
  refuseLinkLocal({ method: 'GET', url, side }, registryOrigin);
  return url;
}

function getRequest(realm: URL, request: TokenRequest): HttpRequest {
  const { service, scopes, credentials, side, signal, observer } = request;
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.append('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  if (credentials?.username) url.searchParams.append('account', credentials.username);
  const authorization = credentials && tokenServerAuthorization(credentials);
  return {
    method: 'GET',
    url,
    headers: { ...(authorization !== undefined && { authorization }) },
    side,
    signal,
    observer,
    kind: 'token',
    answerBody: { maxBytes: MAX_ANSWER_BYTES },
  };
}

/** As containerd does it, the identity token is the password where the server knows no OAuth2. */
function tokenServerAuthorization(credentials: BasicCredentials | IdentityTokenCredentials): string | undefined {
  if (credentials.kind === 'identity-token') {
    return basicAuthorization(credentials.username ?? TOKEN_USERNAME, credentials.token);
  }
  const { username, password } = credentials;
  return username !== '' && password !== '' ? basicAuthorization(username, password) : undefined;
}

function postRequest(
  url: URL,
  { service, scopes, side, signal, observer }: TokenRequest,
  { token }: IdentityTokenCredentials,
): HttpRequest {
  const form = new URLSearchParams({ grant_type: 'refresh_token' });
  if (service !== undefined) form.append('service', service);
  // OAuth2 has one scope parameter, a list separated by spaces.
  form.append('scope', scopes.join(' '));
  form.append('client_id', CLIENT_ID);
  form.append('refresh_token', token);
  const body = Buffer.from(form.toString());
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const sent = { method: 'POST', url, headers, body, bodyLength: body.length, side, signal, observer } as const;
  return { ...sent, kind: 'token', answerBody: { maxBytes: MAX_ANSWER_BYTES } };
}

async function readToken(
  response: HttpResponse,
  sent: HttpRequest,
  { request, now }: { readonly request: TokenRequest; readonly now: () => number },
): Promise<BearerToken> {
  const receivedAt = now();
  const body = await readBody(response, sent, MAX_ANSWER_BYTES);
  if (response.status !== 200) throw refusal(response.status, body.toString(), { sent, request });
  const answer = parseAnswer(body);
  const value = [answer['token'], answer['access_token']].find((text) => typeof text === 'string' && text !== '');
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) {
    throw new ImgcopyError(`${describe(sent)}: expected a token in JSON, found something else`, {
      code: 'ERR_TOKEN_ANSWER',
      side: sent.side,
    });
  }
  const seconds = Math.max(Number(answer['expires_in']) || 0, MIN_LIFETIME_SECONDS);
  return { value, receivedAt, lifetimeMs: seconds * 1000 };
}

function parseAnswer(bytes: Buffer): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(bytes.toString());
    return typeof answer === 'object' && answer !== null ? { ...answer } : {};
  } catch {
    // Whatever it is, it holds no token; and its text may hold one that must not be quoted.
    return {};
  }
}

function refusal(
  status: number,
  answer: string,
  { sent, request }: { readonly sent: HttpRequest; readonly request: TokenRequest },
): TokenRequestError {
  const { credentials } = request;
  const secret = credentials?.kind === 'basic' ? credentials.password : credentials?.token;
  const { message: said } = parseErrorBody(answer, secret);
  const wanted = request.scopes.join(' ') || request.registryOrigin;
  const message = `no token for ${wanted}: ${describe(sent)}: ${status}${said === '' ? '' : ` (${said})`}`;
  return new TokenRequestError(message, { status, side: sent.side });
}

function kindOf(status: number): ErrorKind {
  if (status === 429) return 'rate-limited';
  return status === 401 || status === 403 ? 'denied' : 'failed';
}

function describe({ method, url }: HttpRequest): string {
  return `${method} ${redactUrl(url)}`;
}
