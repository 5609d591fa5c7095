import type { Side } from '../errors/imgcopy-error.ts';
import { apiHost } from '../reference/registry-host.ts';
import type { CredentialSearch } from './credential-search.ts';
import type { Credentials } from './credentials.ts';

/** What can be said of a request that was refused with 401 or 403. */
export interface Denial {
  /** Which credentials were sent, and where they came from, or why there were none. */
  readonly sent: string;
  readonly hint: string;
}

export interface DeniedRequest {
  readonly status: number;
  readonly side: Side;
  /** The origin of the registry. */
  readonly origin: string;
  /** Whether the request had an Authorization header. */
  readonly isAuthorized: boolean;
  /** Whether a token server gave a token for the credentials, or refused to. Undefined: none was asked. */
  readonly hasToken?: boolean | undefined;
  /** Undefined where the registry asked for no credentials, so that none were looked for. */
  readonly search: CredentialSearch | undefined;
}

/** Registries that refuse what does not exist. */
const HIDES_MISSING = /(^|\.)docker\.io$|^(ghcr|quay)\.io$|^registry\.gitlab\.com$|\.pkg\.dev$|(^|\.)gcr\.io$/;

export function explainDenial(request: DeniedRequest): Denial {
  return { sent: sentBy(request), hint: hintFor(request) };
}

function sentBy({ origin, search, isAuthorized }: DeniedRequest): string {
  if (search === undefined || (search.credentials !== undefined && !isAuthorized))
    return 'no credentials sent: the registry asked for none that imgcopy can send';
  const { credentials, from, searched, problems } = search;
  const place = from === undefined ? '' : `, from ${from}`;
  if (credentials !== undefined) return `credentials sent: ${describe(credentials)}${place}`;
  if (from !== undefined) return `no credentials sent: ${from} was given`;
  const found =
    searched.length === 0 ? 'no auth file found' : `none for ${registryOf(origin)} in ${searched.join(', ')}`;
  return `no credentials sent: ${[found, ...problems].join('; ')}`;
}

/** Never the secret. */
function describe(credentials: Credentials): string {
  if (credentials.kind === 'basic') return `user ${credentials.username}`;
  if (credentials.kind === 'registry-token') return 'a registry token';
  return `an identity token${credentials.username === undefined ? '' : ` of user ${credentials.username}`}`;
}

function hintFor({ status, side, origin, isAuthorized, hasToken, search }: DeniedRequest): string {
  const registry = registryOf(origin);
  const option = side === 'source' ? '--src-creds' : '--dest-creds';
  const hidden = HIDES_MISSING.test(registry)
    ? '; this registry answers the same for an image that does not exist'
    : '';
  const logIn = `log in with imgcopy login ${registry}, or give ${option}`;
  if (search?.credentials === undefined) {
    if (search?.from !== undefined) return `leave out ${search.from}, so that credentials are looked up${hidden}`;
    const isHelper = search?.problems.some((problem) => problem.startsWith('credential helper'));
    return `${isHelper ? `fix the credential helper, or give ${option}` : logIn}${hidden}`;
  }
  if (!isAuthorized) return `the registry does not ask for such credentials; check that it is the right one${hidden}`;
  // GHCR answers 403 to a token that has expired. @see https://github.com/secureCodeBox/secureCodeBox/issues/2574
  if (status === 403 && hasToken === false)
    return `the account may not have the right to do this, or its password or token has expired${hidden}`;
  // Credentials that bought a token are right. GCR, Quay and GitLab refuse by 401 what they do not allow.
  if (status === 403 || hasToken === true) return `the account may not have the right to do this${hidden}`;
  if (search.isGiven !== true)
    return `the credentials may be wrong or have expired: log in again with imgcopy login ${registry}`;
  return search.credentials.kind === 'basic'
    ? 'check the user name and password; many registries take an access token in place of the password'
    : 'check that the token is meant for this registry and has not expired';
}

/** A registry as it is named in references. */
function registryOf(origin: string): string {
  const { host } = new URL(origin);
  return host === apiHost('docker.io') ? 'docker.io' : host;
}
