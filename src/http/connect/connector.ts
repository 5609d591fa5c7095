import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import type { Side } from '../../errors/imgcopy-error.ts';
import type { ConnectionOpener, Target } from './connection-opener.ts';
import { closeEarlySockets } from './early-sockets.ts';
import type { Proxy } from './proxy.ts';
import { Turns, type EndTurn } from './turns.ts';

export interface ConnectorOptions {
  readonly opener: ConnectionOpener;
  /** Connections a host at most. */
  readonly most?: number | undefined;
  /** Calls back after so many ms, unless the timer is cleared; replaced in tests. */
  readonly setTimer?: ((callback: () => void, ms: number) => NodeJS.Timeout) | undefined;
}

/** A host whose first answer takes longer is far away, in ms. */
const FAR_MS = 10;
/**
 * To a far host so many more are opened at once: the blobs' requests then find them open. Six blobs ask a source once each, and a
 * destination twice, by HEAD and POST. Twice as many gain nothing more, and a handshake takes 1 ms of CPU.
 */
const OPENED_AHEAD: Readonly<Record<Side, number>> = { source: 7, destination: 15 };
/**
 * Their TLS handshakes begin so long after the first request could go out, in ms. So the answer to that comes first: it may say that there is nothing to
 * do, and then no time is spent on them.
 */
const BEHIND_MS = 20;
/** Of the requests to a far host that wait for their turn, so many have connections opened for them meanwhile. */
const OPENED_FOR_WAITING = 32;
/** One that nobody has wanted for so long is closed, in ms. */
const HELD_MS = 10_000;

/** Makes the connections of a run, some of them before they are asked for. */
export class Connector {
  readonly #opener: ConnectionOpener;
  readonly #most: number;
  readonly #setTimer: (callback: () => void, ms: number) => NodeJS.Timeout;
  readonly #held = new Map<string, Socket[]>();
  readonly #opening = new Map<string, number>();
  readonly #waiting = new Map<string, ((socket: Socket | undefined) => void)[]>();
  /** Ends the wait of the handshakes with a host. */
  readonly #hurry = new Map<string, () => void>();
  /** The first connection to each origin that was asked for, once it is there; where that failed, the next one. */
  readonly #first = new Map<string, Promise<Socket>>();
  /** Those of them that failed, and that no other has replaced yet. */
  readonly #failed = new WeakSet<Promise<Socket>>();
  /** Those of them that no request has had yet. */
  readonly #prepared = new Map<string, Promise<Socket>>();
  /** Hosts that something was asked of. */
  readonly #known = new Set<string>();
  /** Those of them whose first answer takes its time. */
  readonly #far = new Set<string>();
  readonly #turns = new Map<string, Turns>();
  #isClosed = false;

  constructor({ opener, most = Infinity, setTimer = setTimeout }: ConnectorOptions) {
    this.#opener = opener;
    this.#most = most;
    this.#setTimer = setTimer;
  }

  /** As undici wants it. */
  readonly connect: buildConnector.connector = (target, callback) => {
    const { protocol, hostname, port, host = hostname } = target;
    this.#connect({ protocol, host, hostname, port }).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(error as Error, null),
    );
  };

  proxyFor(url: Pick<Target, 'protocol' | 'hostname' | 'port'>): Proxy | undefined {
    return this.#opener.proxyFor(url);
  }

  speaksTls(url: URL): Promise<true | Error> {
    return this.#opener.speaksTls(url);
  }

  alertFrom(url: URL): Error | undefined {
    return this.#opener.alertFrom(url);
  }

  /** Begins the connection that the first request to an origin will have; not through a proxy. */
  prepare({ protocol, host, hostname, port }: URL): void {
    const target = { protocol, host, hostname, port };
    const key = keyOf(target);
    if (this.#first.has(key) || this.proxyFor(target) !== undefined) return;
    // It keeps the process alive for a request alone.
    const opened = this.#open(target).then((socket) => socket.unref());
    this.#setFirst(key, opened);
    this.#prepared.set(key, opened);
  }

  /**
   * To be called with each request that goes out. If it is the first to its host, and no answer comes soon, further connections are
   * opened meanwhile; not through a proxy.
   * @returns to be called when the answer's head is there.
   */
  expectAnswer(url: URL, side: Side): () => void {
    const { protocol, host, hostname, port } = url;
    const key = keyOf(url);
    if (this.#known.has(key)) return nothing;
    this.#known.add(key);
    if (this.proxyFor(url) !== undefined) return nothing;
    const target = { protocol, host, hostname, port };
    const timer = this.#setTimer(() => {
      this.#far.add(key);
      this.#openAhead(target, { count: OPENED_AHEAD[side], isWanted: false });
    }, FAR_MS);
    return () => clearTimeout(timer);
  }

  /**
   * Says that a request will come. At a far host, connections for those that wait are opened meanwhile.
   * @returns to be called when it is over.
   */
  announce(url: URL): EndTurn {
    const turns = this.#turnsOf(url);
    const end = turns.announce();
    if (this.#far.has(keyOf(url))) turns.provide(OPENED_FOR_WAITING);
    return end;
  }

  /**
   * Lets a request go: to a far host once there is a connection for it, be it one that has become free, or a new one.
   * @returns to be called when its connection is free again.
   */
  async turn(url: URL, signal: AbortSignal | undefined): Promise<EndTurn> {
    const key = keyOf(url);
    const turns = this.#turnsOf(url);
    if (!this.#far.has(key) || this.#isClosed) return turns.begin();
    const turn = turns.wait(signal);
    if (turns.isWanted) this.#hurry.get(key)?.();
    return await turn;
  }

  /** Ends all connections. */
  close(): void {
    this.#isClosed = true;
    this.#held.clear();
    for (const turns of this.#turns.values()) turns.grantAll();
    this.#opener.close();
    closeEarlySockets();
  }

  async #connect(target: Target): Promise<Socket> {
    const key = keyOf(target);
    const prepared = this.#prepared.get(key);
    this.#prepared.delete(key);
    if (prepared !== undefined) {
      const socket = await prepared;
      if (!socket.destroyed) return socket.ref();
    }
    const ready = this.#takeHeld(key) ?? (await this.#nextOpened(key));
    if (ready !== undefined) return ready;
    const opened = this.#open(target);
    const first = this.#first.get(key);
    if (first === undefined || this.#failed.has(first)) this.#setFirst(key, opened);
    return await opened;
  }

  #setFirst(key: string, opened: Promise<Socket>): void {
    this.#first.set(key, opened);
    // Whoever makes the request is told.
    opened.catch(() => this.#failed.add(opened));
  }

  #takeHeld(key: string): Socket | undefined {
    const held = this.#held.get(key) ?? [];
    for (let socket = held.shift(); socket !== undefined; socket = held.shift()) {
      // Nothing else may keep the process alive while its answer is awaited.
      if (!socket.destroyed && socket.readyState === 'open') return socket.ref();
    }
    return undefined;
  }

  /** A connection that is being opened is nearer than one that is not. */
  async #nextOpened(key: string): Promise<Socket | undefined> {
    const opening = this.#opening.get(key) ?? 0;
    const waiting = this.#waiting.get(key) ?? [];
    if (waiting.length >= opening) return undefined;
    this.#hurry.get(key)?.();
    return new Promise((resolve) => {
      waiting.push(resolve);
      this.#waiting.set(key, waiting);
    });
  }

  #open(
    target: Target,
    beforeTls?: () => Promise<unknown> | undefined,
    then?: (socket: Socket | undefined) => void,
  ): Promise<Socket> {
    return this.#turnsOf(target).open(this.#opener.open(target, beforeTls), then);
  }

  #turnsOf({ protocol, host, hostname, port }: Target): Turns {
    const key = keyOf({ protocol, host });
    let turns = this.#turns.get(key);
    if (turns === undefined) {
      const target = { protocol, host, hostname, port };
      turns = new Turns(this.#most, (count) => this.#openAhead(target, { count, isWanted: true }));
      this.#turns.set(key, turns);
    }
    return turns;
  }

  /** @param wish.isWanted  whether somebody waits for them. */
  #openAhead(target: Target, { count, isWanted }: { readonly count: number; readonly isWanted: boolean }): void {
    if (this.#isClosed) return;
    const key = keyOf(target);
    const wish = Promise.withResolvers<void>();
    if (isWanted) wish.resolve();
    else this.#hurry.set(key, wish.resolve);
    let turn: Promise<void> | undefined;
    const beforeTls = (): Promise<void> => (turn ??= this.#turnOf(target, wish));
    const then = (socket: Socket | undefined): void => {
      this.#opening.set(key, (this.#opening.get(key) ?? 1) - 1);
      const next = this.#waiting.get(key)?.shift();
      if (next !== undefined) next(socket);
      else if (socket !== undefined) this.#hold(key, socket);
    };
    for (let opened = 0; opened < count; opened += 1) {
      this.#opening.set(key, (this.#opening.get(key) ?? 0) + 1);
      this.#open(target, beforeTls, then).catch(() => undefined);
    }
  }

  /**
   * When handshakes may follow the first one, which tells whether they would succeed, and leaves a session that they resume: a little later, or once
   * somebody wants the connection.
   */
  async #turnOf(target: Target, wish: PromiseWithResolvers<void>): Promise<void> {
    await this.#first.get(keyOf(target));
    await this.#opener.sessionOf(target);
    this.#setTimer(wish.resolve, BEHIND_MS).unref();
    await wish.promise;
  }

  #hold(key: string, socket: Socket): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    const held = this.#held.get(key) ?? [];
    held.push(socket);
    this.#held.set(key, held);
    socket.unref();
    setTimeout(() => {
      if (held.includes(socket)) socket.destroy();
    }, HELD_MS).unref();
  }
}

function keyOf({ protocol, host }: Pick<Target, 'protocol' | 'host'>): string {
  return `${protocol}//${host}`;
}

function nothing(): void {
  // The host is known.
}
