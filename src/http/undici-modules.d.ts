// The single modules of undici that are imported: its index takes 35 ms more to load, and they have no types of their own.

declare module 'undici/lib/api/api-request.js' {
  import type { Readable } from 'node:stream';
  import type { Dispatcher } from 'undici';

  /** Makes an answer of what a dispatcher tells. */
  export class RequestHandler {
    /** The answer's body, while bytes of it may come. */
    res: Readable | null;
    highWaterMark: number;
    constructor(
      options: Dispatcher.RequestOptions,
      callback: (error: Error | null, answer: Dispatcher.ResponseData) => void,
    );
    onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void;
    onResponseStart(
      controller: Dispatcher.DispatchController,
      status: number,
      headers: Record<string, string | string[]>,
      text: string,
    ): void;
    onResponseEnd(controller: Dispatcher.DispatchController, trailers: Record<string, string | string[]>): void;
    onResponseError(controller: Dispatcher.DispatchController, error: Error): void;
  }

  /** What undici's index makes a method of all dispatchers. */
  const request: {
    (this: Dispatcher, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>;
    readonly RequestHandler: typeof RequestHandler;
  };
  export default request;
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
