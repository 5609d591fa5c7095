// The single modules of undici that are imported: its index takes 35 ms more to load, and they have no types of their own.

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici';

  /** What undici's index makes a method of all dispatchers. */
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>;
}

declare module 'undici/lib/dispatcher/agent.js' {
  import { Agent } from 'undici';

  export default Agent;
}

declare module 'undici/lib/core/connect.js' {
  import type { buildConnector } from 'undici';

  export default function build(options: buildConnector.BuildOptions): buildConnector.connector;
}

declare module 'undici/lib/core/socks5-client.js' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  /** Emits `authenticated`, `connected`, `error` and `close`. */
  export class Socks5Client extends EventEmitter {
    constructor(socket: Socket, options?: { readonly username: string; readonly password: string });
    readonly onSocketData: (data: Buffer) => void;
    readonly onSocketError: (error: Error) => void;
    readonly onSocketClose: () => void;
    handshake(): void;
    connect(address: string, port: number): void;
  }
}
