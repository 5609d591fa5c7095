import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import type { TlsOptions } from './undici-send.ts';

type Connect = buildConnector.connector;
type Target = buildConnector.Options;
type BuildConnector = (options: buildConnector.BuildOptions) => Connect;

export interface ConnectorOptions {
  /** Asked for when the first TLS connection is made: to read certificate authorities takes its time. */
  readonly tls: () => Promise<TlsOptions>;
  readonly timeoutMs: number;
  readonly build: BuildConnector;
  /** Calls back after so many ms, unless the timer is cleared; replaced in tests. */
  readonly setTimer?: ((callback: () => void, ms: number) => NodeJS.Timeout) | undefined;
}

/** A host whose first answer takes longer is far away, in ms. */
const FAR_MS = 10;
/** To a far host so many more are dialled at once: the blobs' requests then find them open, and save a round trip. */
const DIALLED_AHEAD = 7;
/** One that nobody has wanted for so long is closed, in ms. */
const HELD_MS = 10_000;
/** Node's 250 ms gives up on a far host before its handshake can have come back. */
const FAMILY_ATTEMPT_MS = 2_000;

/** Makes the connections of a run, some of them before they are asked for. */
export class Connector {
  readonly #options: ConnectorOptions;
  readonly #setTimer: (callback: () => void, ms: number) => NodeJS.Timeout;
  readonly #held = new Map<string, Socket[]>();
  readonly #dialling = new Map<string, number>();
  readonly #waiting = new Map<string, ((socket: Socket | undefined) => void)[]>();
  /** Hosts that something was asked of. */
  readonly #known = new Set<string>();
  #plain: Connect | undefined;
  #secure: Promise<Connect> | undefined;
  #isClosed = false;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.#setTimer = options.setTimer ?? setTimeout;
  }

  /** As undici wants it. */
  readonly connect: Connect = (target, callback) => {
    this.#connect(target).then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(error as Error, null),
    );
  };

  /**
   * To be called with each request that goes out. If it is the first to its host, and no answer comes soon, further connections are
   * dialled meanwhile.
   * @returns to be called when the answer's head is there.
   */
  expectAnswer({ protocol, host, hostname, port }: URL): () => void {
    const key = keyOf({ protocol, host });
    if (this.#known.has(key)) return nothing;
    this.#known.add(key);
    const timer = this.#setTimer(() => this.#dialAhead(key, { protocol, host, hostname, port }), FAR_MS);
    return () => clearTimeout(timer);
  }

  /** Closes what was dialled and not used. */
  close(): void {
    this.#isClosed = true;
    for (const socket of [...this.#held.values()].flat()) socket.destroy();
    this.#held.clear();
  }

  async #connect(target: Target): Promise<Socket> {
    const key = keyOf(target);
    return this.#takeHeld(key) ?? (await this.#nextDialled(key)) ?? (await this.#dial(target));
  }

  #takeHeld(key: string): Socket | undefined {
    const held = this.#held.get(key) ?? [];
    for (let socket = held.shift(); socket !== undefined; socket = held.shift()) {
      socket.removeAllListeners('close');
      // Nothing else may keep the process alive while its answer is awaited.
      if (!socket.destroyed && socket.readyState === 'open') return socket.ref();
    }
    return undefined;
  }

  /** A connection that is being dialled is nearer than one that is not. */
  async #nextDialled(key: string): Promise<Socket | undefined> {
    const dialling = this.#dialling.get(key) ?? 0;
    const waiting = this.#waiting.get(key) ?? [];
    if (waiting.length >= dialling) return undefined;
    return new Promise((resolve) => {
      waiting.push(resolve);
      this.#waiting.set(key, waiting);
    });
  }

  #dialAhead(key: string, target: Target): void {
    for (let count = 0; count < DIALLED_AHEAD; count += 1) {
      this.#dialling.set(key, (this.#dialling.get(key) ?? 0) + 1);
      void this.#dial(target)
        .catch(() => undefined)
        .then((socket) => {
          this.#dialling.set(key, (this.#dialling.get(key) ?? 1) - 1);
          const next = this.#waiting.get(key)?.shift();
          if (next !== undefined) next(socket);
          else if (socket !== undefined) this.#hold(key, socket);
        });
    }
  }

  #hold(key: string, socket: Socket): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    const held = this.#held.get(key) ?? [];
    held.push(socket);
    this.#held.set(key, held);
    socket.on('error', () => socket.destroy());
    socket.unref();
    setTimeout(() => {
      if (held.includes(socket)) socket.destroy();
    }, HELD_MS).unref();
  }

  async #dial(target: Target): Promise<Socket> {
    const connect =
      target.protocol === 'https:'
        ? await (this.#secure ??= this.#openSecure())
        : (this.#plain ??= this.#options.build(this.#common()));
    return new Promise((resolve, reject) => {
      connect(target, (error, socket) => {
        if (error === null) resolve(socket);
        else reject(error);
      });
    });
  }

  async #openSecure(): Promise<Connect> {
    const { verify = true, ca, cert, key } = await this.#options.tls();
    return this.#options.build({
      ...this.#common(),
      rejectUnauthorized: verify,
      ...(ca && { ca: [...ca] }),
      ...(cert && { cert }),
      ...(key && { key }),
    });
  }

  #common(): buildConnector.BuildOptions {
    return {
      allowH2: false,
      timeout: this.#options.timeoutMs,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: FAMILY_ATTEMPT_MS,
    };
  }
}

function keyOf({ protocol, host }: Pick<Target, 'protocol' | 'host'>): string {
  return `${protocol}//${host}`;
}

function nothing(): void {
  // The host is known.
}
