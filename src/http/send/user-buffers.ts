import type { Socket } from 'node:net';

export interface BufferUse {
  /** Reads on where `onBytes` has returned false. */
  readonly goOn: () => void;
}

export interface BufferUseOptions {
  /** What the next bytes are read into; at least one byte long. */
  readonly room: () => Buffer;
  /** Told how many bytes are in the room that was given last. @returns whether to read on. */
  readonly onBytes: (count: number) => boolean;
}

interface Handle {
  useUserBuffer(buffer: Uint8Array): void;
}

type Inner = Socket & Record<symbol, unknown> & { readonly _handle?: Handle | null };

/** As Node.js calls them. */
const NAMES = ['kBuffer', 'kBufferGen', 'kBufferCb'] as const;

/** Whether a socket's bytes can be read into buffers of ours: Node.js has no public way to ask for that once it is open. */
export function canUseBuffers(socket: Socket): boolean {
  const { _handle: handle } = socket as Inner;
  return typeof handle?.useUserBuffer === 'function' && innerNames(socket) !== undefined;
}

/**
 * Reads a socket's bytes into buffers of ours from now on, past its stream: what the option `onread` of `net.connect` does from the start. A TLS socket
 * over a connection that is there already does not take that option.
 * @see https://nodejs.org/api/net.html#socketconnectoptions-connectlistener
 */
export function useBuffers(socket: Socket, { room, onBytes }: BufferUseOptions): BufferUse {
  const inner = socket as Inner;
  const { _handle: handle } = inner;
  const names = innerNames(socket);
  if (names === undefined || !handle) throw new Error('this socket does not read into buffers of ours');
  const first = room();
  inner[names.kBuffer] = first;
  inner[names.kBufferGen] = room;
  inner[names.kBufferCb] = onBytes;
  handle.useUserBuffer(first);
  return { goOn: () => void socket.read(0) };
}

function innerNames(socket: Socket): Record<(typeof NAMES)[number], symbol> | undefined {
  const symbols = Object.getOwnPropertySymbols(socket);
  const found = NAMES.map((name) => [name, symbols.find(({ description }) => description === name)] as const);
  if (found.some(([, symbol]) => symbol === undefined)) return undefined;
  return Object.fromEntries(found) as Record<(typeof NAMES)[number], symbol>;
}
