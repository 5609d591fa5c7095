import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { ImgcopyError, systemErrorCode } from '../../errors/imgcopy-error.ts';
import { Addresses } from './addresses.ts';
import { certificateFailure } from './certificate-failure.ts';
import { ConnectFailure } from './connect-failure.ts';
import { happens, openTcp, startTls, type Address } from './open-socket.ts';
import type { Proxy, ProxyFor } from './proxy.ts';
import type { RegistryTrust } from './trust.ts';

/** An origin that is to be connected to. */
export interface Target {
  readonly protocol: string;
  /** `host[:port]`, without the protocol's own port. */
  readonly host: string;
  readonly hostname: string;
  readonly port: string;
}

export interface ConnectionOpenerOptions {
  readonly trust: RegistryTrust;
  /** The registry's own `host[:port]`: client certificates are for it alone. */
  readonly ownHost: string;
  readonly proxyFor: ProxyFor;
  readonly timeoutMs: number;
}

/** Answers of servers that miss a client certificate, or do not accept the one they were shown, though they let the handshake pass (nginx). */
const UNFIT: ReadonlySet<string> = new Set(['400', '403', '495', '496']);

/** A session that takes longer to come is not waited for, in ms. */
const SESSION_MS = 20;

/** Knows how each origin is reached, and opens connections: TCP, through a proxy where there is one, then TLS. */
export class ConnectionOpener {
  readonly #options: ConnectionOpenerOptions;
  readonly #addresses = new Addresses();
  /** Of the last handshake with a host, to be resumed by the next. */
  readonly #sessions = new Map<string, Buffer>();
  /** Who waits for a session of a host. */
  readonly #waiting = new Map<string, (() => void)[]>();
  readonly #fitting = new Map<string, Promise<SecureContext>>();
  /** The alert that a host sent after a handshake. By TLS 1.3, that is how it refuses a client certificate, or the lack of one. */
  readonly #alerts = new Map<string, Error>();
  /** Every TCP connection, until it is closed. */
  readonly #open = new Set<Socket>();

  constructor(options: ConnectionOpenerOptions) {
    this.#options = options;
  }

  proxyFor(target: Pick<Target, 'protocol' | 'hostname' | 'port'>): Proxy | undefined {
    return this.#options.proxyFor(target);
  }

  /**
   * @param beforeTls  is waited for once TCP is there.
   * @throws ConnectFailure, errors of sockets, and ImgcopyErrors where something is wrong on this machine: the latter first.
   */
  async open(target: Target, beforeTls?: () => Promise<unknown> | undefined): Promise<Socket> {
    const reaching = this.#reach(target);
    if (target.protocol !== 'https:') return await reaching;
    // Authorities are read meanwhile.
    reaching.catch(() => undefined);
    try {
      const context = await this.#contextFor(target);
      const socket = await reaching;
      await beforeTls?.();
      if (socket.destroyed) throw new ConnectFailure('lost', `${target.host} closed the connection`);
      return await this.#secure(socket, target, context);
    } catch (error) {
      void reaching.then(
        (socket) => socket.destroy(),
        () => undefined,
      );
      throw error;
    }
  }

  /**
   * Whether something answers there by TLS, be its certificate accepted or not. Where certificates count, no authorities are read for this.
   * @returns the failure of TLS, where it is not spoken.
   */
  async speaksTls(target: Target): Promise<true | Error> {
    const socket = await this.#reach(target);
    const { createSecureContext } = await import('node:tls');
    const { timeoutMs } = this.#options;
    try {
      const context = createSecureContext({ ca: [] });
      await startTls(socket, { ...target, context, session: undefined, timeoutMs });
      return true;
    } catch (error) {
      // A server that says what it does not like of TLS speaks it.
      return /alert/i.test(`${systemErrorCode(error)} ${(error as Error).message}`) || (error as Error);
    } finally {
      socket.destroy();
    }
  }

  /** What a host said by an alert: it may have said so over another connection than the one that a request went over. */
  alertFrom({ host }: Pick<Target, 'host'>): Error | undefined {
    return this.#alerts.get(host);
  }

  /** Waits for a session that the next handshake with a host can resume: by TLS 1.3 it comes right after a handshake, or with the first answer. */
  async sessionOf({ host }: Pick<Target, 'host'>): Promise<void> {
    if (this.#sessions.has(host)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = [...(this.#waiting.get(host) ?? []), resolve];
    this.#waiting.set(host, waiting);
    setTimeout(resolve, SESSION_MS).unref();
    await promise;
  }

  /** Ends all connections, those that are not established yet among them. */
  close(): void {
    for (const socket of this.#open) socket.destroy();
  }

  /** Opens a connection to a target, or to what a proxy makes seem so. */
  async #reach(target: Target): Promise<Socket> {
    const proxy = this.proxyFor(target);
    if (proxy === undefined) return await this.#tcp(addressOf(target));
    try {
      return await this.#reachThrough(proxy, target);
    } catch (error) {
      if (error instanceof ImgcopyError) throw error;
      const { throughProxy } = await import('./tunnel.ts');
      throw throughProxy(proxy, error);
    }
  }

  async #reachThrough(proxy: Proxy, target: Target): Promise<Socket> {
    const { timeoutMs } = this.#options;
    const socket = await this.#tcp({ hostname: proxy.hostname, port: Number(proxy.port) });
    const address = addressOf(target);
    if (proxy.scheme === 'socks5') {
      const { openSocks } = await import('./socks.ts');
      await this.#orDestroy(socket, openSocks(socket, address, proxy.user), timeoutMs);
      return socket;
    }
    const host = `${proxy.hostname}:${proxy.port}`;
    const { trust } = this.#options;
    const way =
      proxy.scheme === 'https'
        ? await this.#secure(socket, { hostname: proxy.hostname, host }, await trust.others())
        : socket;
    // Requests by http name their server to the proxy themselves.
    if (target.protocol === 'http:') return way;
    const { openTunnel } = await import('./tunnel.ts');
    const authority = `${target.hostname.includes(':') ? `[${address.hostname}]` : address.hostname}:${address.port}`;
    await this.#orDestroy(way, openTunnel(way, { authority, authorization: authorizationOf(proxy) }), timeoutMs);
    return way;
  }

  async #tcp(address: Address): Promise<Socket> {
    const { timeoutMs } = this.#options;
    return await openTcp(address, {
      timeoutMs,
      addresses: this.#addresses,
      onSocket: (socket) => {
        this.#open.add(socket);
        socket.once('close', () => this.#open.delete(socket));
      },
    });
  }

  async #secure(
    socket: Socket,
    { hostname, host }: Pick<Target, 'hostname' | 'host'>,
    context: SecureContext,
  ): Promise<TLSSocket> {
    const { trust, timeoutMs } = this.#options;
    const session = this.#sessions.get(host);
    const secure = await startTls(socket, { hostname, host, context, session, timeoutMs });
    if (trust.verify && !secure.authorized) {
      const failure = certificateFailure(secure, host);
      secure.destroy();
      throw failure;
    }
    secure.once('error', (error) => {
      if (/alert/i.test(`${systemErrorCode(error)}`)) this.#alerts.set(host, error);
    });
    // Only now: a session that is resumed is not checked again.
    const keep = (made: Buffer): void => {
      this.#sessions.set(host, made);
      for (const resolve of this.#waiting.get(host) ?? []) resolve();
      this.#waiting.delete(host);
    };
    secure.on('session', keep);
    const made = secure.getSession();
    if (made !== undefined && secure.getProtocol() !== 'TLSv1.3') keep(made);
    return secure;
  }

  /** One that fits what the server asks for, where there are several client certificates. */
  async #contextFor(target: Target): Promise<SecureContext> {
    const { trust, ownHost } = this.#options;
    if (target.host !== ownHost) return await trust.others();
    const contexts = await trust.own();
    const [first] = contexts;
    if (first === undefined) throw new Error('there is no context');
    if (contexts.length === 1) return first;
    const known = this.#fitting.get(target.host) ?? this.#findFitting(target, contexts);
    this.#fitting.set(target.host, known);
    return await known;
  }

  /**
   * Node.js does not tell which authorities a server names when it asks for a certificate, and by TLS 1.3 a handshake succeeds before the
   * server has looked at it: only the answer to a request shows whether it fits.
   */
  async #findFitting(target: Target, contexts: readonly SecureContext[]): Promise<SecureContext> {
    for (const context of contexts) {
      const status = await this.#statusWith(target, context).catch(() => undefined);
      this.#sessions.delete(target.host);
      if (status !== undefined && !UNFIT.has(status)) return context;
    }
    return contexts[0] as SecureContext;
  }

  async #statusWith(target: Target, context: SecureContext): Promise<string | undefined> {
    const socket = await this.#secure(await this.#reach(target), target, context);
    try {
      socket.write(`GET /v2/ HTTP/1.1\r\nHost: ${target.host}\r\nConnection: close\r\n\r\n`);
      await happens(socket, 'readable', `the answer of ${target.host}`, this.#options.timeoutMs);
      const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(String(socket.read())) ?? [];
      return status;
    } finally {
      socket.destroy();
    }
  }

  async #orDestroy(socket: Socket, work: Promise<void>, timeoutMs: number): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new ConnectFailure('timeout', `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      await Promise.race([work, late.promise]);
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The value of Proxy-Authorization. */
export function authorizationOf({ user }: Pick<Proxy, 'user'>): string | undefined {
  return user && `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`;
}

function addressOf({ protocol, hostname, port }: Target): Address {
  return {
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || (protocol === 'https:' ? 443 : 80)),
  };
}
