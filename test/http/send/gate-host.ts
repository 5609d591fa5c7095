import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HostGates } from '../../../src/http/send/gate.ts';
import type { Headers, HttpRequest, HttpResponse } from '../../../src/http/send/send.ts';

export const url: URL = new URL('https://registry.test/v2/');
const get: HttpRequest = { method: 'GET', url, side: 'source' };

/** Gates before a host whose answers are in the hands of the test, and a clock that only sleeping moves. */
export class Host {
  now = 0;
  readonly slept: number[] = [];
  /** The requests that came through and are not answered yet. */
  readonly pending: { readonly request: HttpRequest; readonly settle: PromiseWithResolvers<HttpResponse> }[] = [];
  readonly gates: HostGates;
  /** Called in the place of sleeping; default: time passes. */
  sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void> = (ms) => {
    this.now += ms;
    return Promise.resolve();
  };

  constructor(limit: number, most?: number) {
    this.gates = new HostGates({
      limit,
      most,
      now: () => this.now,
      sleep: (ms, signal) => {
        this.slept.push(ms);
        return this.sleep(ms, signal);
      },
    });
  }

  /** Sends requests; their answers, or errors, are for the test to wait for. */
  send(count: number, more: Partial<HttpRequest> = {}): Promise<HttpResponse>[] {
    const through = this.gates.throttle((request) => {
      const settle = Promise.withResolvers<HttpResponse>();
      this.pending.push({ request, settle });
      return settle.promise;
    });
    return Array.from({ length: count }, () => through({ ...get, ...more }));
  }

  /** Answers the oldest request. */
  answer(status: number, headers: Headers = {}, body: Readable = Readable.from([])): void {
    this.pending.shift()?.settle.resolve({ status, headers: { 'content-length': '0', ...headers }, body, url });
  }

  /** Sends one request after the other, which get this answer, and reads their bodies. */
  async exchange(count: number, status: number, headers: Headers = {}): Promise<void> {
    for (let left = count; left > 0; left -= 1) {
      const [response] = this.send(1);
      await settled();
      this.answer(status, headers);
      (await response)?.body.resume();
      await settled();
    }
  }

  get limit(): number {
    return this.gates.limitOf(url.host);
  }
}

/** Lets pass what is about to happen. */
export async function settled(): Promise<void> {
  for (let turns = 4; turns > 0; turns -= 1) await nextTurn();
}
