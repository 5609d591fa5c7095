import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import type { RequestHandler as Handler } from 'undici/lib/api/api-request.js';
import { BodyReader } from './body-reader.ts';
import { canUseBuffers } from './user-buffers.ts';

/** On which undici tells of a request that it writes, and of the socket. */
const SENDING = 'undici:client:sendHeaders';
/**
 * A body as long as this is worth a connection of its own, in bytes. Stripes are shorter. The answer's length decides; who knows before that it will be
 * less says so (`isShort`), and spares what is prepared for it.
 */
export const LONG_BODY: number = 32 * 1024 * 1024;

export interface BodyHandlerOptions {
  readonly idleMs: number;
  readonly givesBack: boolean;
}

export type BodyHandlerClass = new (
  request: Dispatcher.RequestOptions,
  options: BodyHandlerOptions,
  callback: (error: Error | null, answer: Dispatcher.ResponseData) => void,
) => Dispatcher.DispatchHandler;

/** Undici's handler of a request, but for long bodies: it has them read by a BodyReader. Undici's own is loaded late, so that it comes as a parameter. */
export function bodyHandlerClass(RequestHandler: typeof Handler): BodyHandlerClass {
  return class BodyHandler extends RequestHandler {
    readonly #options: BodyHandlerOptions;
    #socket: Socket | undefined;
    #reader: BodyReader | undefined;

    constructor(...[request, options, callback]: ConstructorParameters<BodyHandlerClass>) {
      super(request, callback);
      this.#options = options;
    }

    override onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
      super.onRequestStart(controller, context);
      if (controller.aborted) return;
      // Undici tells of the socket right after this, before anything else can happen.
      const learn = (message: unknown): void => {
        unsubscribe(SENDING, learn);
        this.#socket = (message as { readonly socket: Socket }).socket;
      };
      subscribe(SENDING, learn);
    }

    override onResponseStart(
      controller: Dispatcher.DispatchController,
      status: number,
      headers: Record<string, string | string[]>,
      text: string,
    ): void {
      const socket = this.#socket;
      const length = bodyLength(status, headers);
      if (socket === undefined || length === undefined || length < LONG_BODY || !canUseBuffers(socket)) {
        super.onResponseStart(controller, status, headers, text);
        return;
      }
      controller.pause();
      // One chunk at a time: a stream joins those that it gives at once.
      this.highWaterMark = 1;
      const reader = new BodyReader(socket, {
        ...this.#options,
        length,
        onChunk: (chunk) => this.res?.push(chunk),
        onEnd: () => {
          super.onResponseEnd(controller, {});
          this.res = null;
          controller.abort(new Error('the connection is not used again'));
        },
      });
      this.#reader = reader;
      const own = {
        rawHeaders: controller.rawHeaders,
        resume: () => reader.want(),
        abort: (reason: Error) => {
          reader.close();
          controller.abort(reason);
        },
      };
      super.onResponseStart(own as unknown as Dispatcher.DispatchController, status, headers, text);
    }

    override onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
      const fail = (): void => super.onResponseError(controller, error);
      if (this.#reader === undefined) fail();
      else this.#reader.fail(fail);
    }
  };
}

function bodyLength(status: number, headers: Record<string, string | string[]>): number | undefined {
  const length = headers['content-length'];
  if ((status !== 200 && status !== 206) || headers['transfer-encoding'] !== undefined) return undefined;
  return typeof length === 'string' && /^\d+$/.test(length) ? Number(length) : undefined;
}
