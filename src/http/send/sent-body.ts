import type { Readable } from 'node:stream';
import { giveBack } from '../../io/slabs.ts';
import { SOCKET_BUFFER } from '../connect/open-socket.ts';

/**
 * A request's body as undici takes it, whose chunks are given back once they are sent. Undici asks for no more while the socket's buffer is full: when
 * it asks, a chunk has left that would fill the buffer together with those after it.
 */
export function sentBody(body: Readable): AsyncGenerator<Buffer> {
  // It may fail before it is read.
  body.on('error', () => undefined);
  return givingBack(body);
}

async function* givingBack(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const sent: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    yield chunk;
    sent.push(chunk);
    bytes += chunk.length;
    for (let first = sent[0]; first !== undefined && bytes >= SOCKET_BUFFER; first = sent[0]) {
      sent.shift();
      bytes -= first.length;
      giveBack(first);
    }
  }
}
