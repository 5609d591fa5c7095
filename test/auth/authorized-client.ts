import { text } from 'node:stream/consumers';
import { type AuthenticateOptions, Authorizer } from '../../src/auth/authenticate.ts';
import { type CredentialSource, NO_CREDENTIALS } from '../../src/auth/credential-search.ts';
import type { Credentials } from '../../src/auth/credentials.ts';
import type { HttpRequest, HttpResponse, Send } from '../../src/http/send/send.ts';
import { send } from './test-server.ts';

export const anna = { kind: 'basic', username: 'anna', password: 'secret' } as const;
export const annaBasic: string = `Basic ${Buffer.from('anna:secret').toString('base64')}`;

export interface ClientOptions extends Omit<AuthenticateOptions, 'credentials'> {
  /** A function is called when they are looked up. */
  readonly credentials?: Credentials | (() => Promise<Credentials | undefined>) | undefined;
  /** Whether those of a function can be had without a helper. Default false. */
  readonly areAtHand?: boolean | (() => boolean);
  /** Shared with other clients; default one of its own. */
  readonly authorizer?: Authorizer;
  /** The layer's next; default the wire. */
  readonly next?: Send;
}

/** Sends a GET, or another request, for a path or URL through the layer. */
export type Client = (path: string, more?: Partial<HttpRequest>) => Promise<HttpResponse>;

/** A client of a registry whose requests go through the authenticating layer. */
export function clientOf(options: ClientOptions): Client {
  const { authorizer = new Authorizer({ send: options.next ?? send }), next = send } = options;
  const authorized = authorizer.layer({ ...options, credentials: sourceOf(options) })(next);
  return (path, more = {}) =>
    authorized({ method: 'GET', url: new URL(path, options.origin), side: 'destination', ...more });
}

function sourceOf({ credentials, areAtHand = false }: ClientOptions): CredentialSource {
  if (typeof credentials !== 'function') return { ...NO_CREDENTIALS, credentials, isGiven: true };
  return {
    find: async () => ({ ...NO_CREDENTIALS, credentials: await credentials() }),
    areAtHand: async () => (typeof areAtHand === 'function' ? areAtHand() : areAtHand),
  };
}

/** The status of an answer whose body is read to its end. */
export async function statusOf(response: Promise<HttpResponse>): Promise<number> {
  const { status, body } = await response;
  await text(body);
  return status;
}

/** Status and body. */
export async function answerOf(response: Promise<HttpResponse>): Promise<readonly [status: number, body: string]> {
  const { status, body } = await response;
  return [status, await text(body)];
}
