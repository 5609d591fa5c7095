import type { Socket } from 'node:net';

/** Where `bin/run.js` leaves the connections that it opened before the program was loaded, by `host:port`. */
const EARLY = Symbol.for('imgcopy.early-sockets');

type Early = Map<string, Socket[]>;

/** A connection to a host that is open already, or on its way; it is the caller's from now on. */
export function takeEarlySocket(hostname: string, port: number): Socket | undefined {
  const socket = early()?.get(`${hostname}:${port}`)?.shift();
  if (socket === undefined) return undefined;
  socket.removeAllListeners('error');
  return socket.destroyed ? undefined : socket.ref();
}

/** Closes those that nobody wanted. */
export function closeEarlySockets(): void {
  for (const socket of [...(early()?.values() ?? [])].flat()) socket.destroy();
  early()?.clear();
}

function early(): Early | undefined {
  return (globalThis as { [EARLY]?: Early })[EARLY];
}
