import { constants, open } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { systemErrorCode } from '../../errors/imgcopy-error.ts';
import { PipeStream } from '../../io/pipe-stream.ts';
import { countPipe } from '../../io/pipe-turns.ts';
import { onRead } from '../../local/disk-error.ts';

// Without O_NONBLOCK a thread would wait in open() for the other end, and could not be woken when the copy is interrupted.
const openNow = promisify(open);

/** How often is looked whether somebody reads, in ms. */
const LOOK_MS = 50;

/** Opens a named pipe for reading, into slabs. */
export async function readNamedPipe(path: string): Promise<Readable> {
  const fd = await onRead(path, () => openNow(path, constants.O_RDONLY | constants.O_NONBLOCK));
  return new PipeStream(fd);
}

export interface WritePipeOptions extends WaitOptions {
  /** Whether to wait for a reader; else a pipe without one is an error. Default true. */
  readonly waits?: boolean | undefined;
}

/**
 * Opens a pipe for writing, once somebody reads from it.
 * @throws the system's error; EPIPE where nobody reads, and it is not to wait.
 */
export async function writeNamedPipe(path: string, { waits = true, signal }: WritePipeOptions = {}): Promise<Writable> {
  for (;;) {
    try {
      const fd = await openNow(path, constants.O_WRONLY | constants.O_NONBLOCK);
      const counted = countPipe();
      return new Socket({ fd, readable: false, writable: true }).once('close', () => counted[Symbol.dispose]());
    } catch (error) {
      if (systemErrorCode(error) !== 'ENXIO') throw error;
      if (!waits) throw Object.assign(new Error('nobody reads the pipe', { cause: error }), { code: 'EPIPE' });
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}
