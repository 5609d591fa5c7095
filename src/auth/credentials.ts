import { ImgcopyError } from '../errors/imgcopy-error.ts';

export interface BasicCredentials {
  readonly kind: 'basic';
  readonly username: string;
  readonly password: string;
}

/** A refresh token that a token server gave at login; it buys tokens for single repositories. */
export interface IdentityTokenCredentials {
  readonly kind: 'identity-token';
  readonly token: string;
  readonly username?: string | undefined;
}

/** A token that goes to the registry as it is. */
export interface RegistryTokenCredentials {
  readonly kind: 'registry-token';
  readonly token: string;
}

/** What a user proves to a registry, or to its token server, who they are with. */
export type Credentials = BasicCredentials | IdentityTokenCredentials | RegistryTokenCredentials;

/** The user name that stands for "the secret is an identity token" in the protocol of credential helpers. */
export const TOKEN_USERNAME = '<token>';

/**
 * Reads `user[:password]` as the command line takes it; the password may hold colons, and is empty where there is none.
 * @throws ImgcopyError of kind `usage` when there is no user name.
 */
export function parseCreds(text: string): BasicCredentials {
  const credentials = splitUserPassword(text) ?? { kind: 'basic', username: text, password: '' };
  if (credentials.username === '') {
    throw new ImgcopyError('credentials without a user name: expected USER[:PASSWORD]', {
      code: 'ERR_INVALID_CREDENTIALS',
      kind: 'usage',
    });
  }
  return credentials;
}

/** Splits at the first colon; undefined where there is none. */
export function splitUserPassword(text: string): BasicCredentials | undefined {
  const colon = text.indexOf(':');
  if (colon === -1) return undefined;
  return { kind: 'basic', username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** The value of an Authorization header. @see https://www.rfc-editor.org/rfc/rfc7617#section-2 */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${encodeUserPassword(username, password)}`;
}

/** Base64 of `user:password` in UTF-8, as Authorization headers and auth files have it. */
export function encodeUserPassword(username: string, password: string): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}
