import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { ConnectionGone, type Actions, type CutKind } from './faults.ts';
import type { Connection } from './listener.ts';
import type { RegistrySettings } from './options.ts';
import type { OpenRecord, RequestLog } from './request-log.ts';

const COMPRESS = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync };

export interface ExchangeParts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  readonly record: OpenRecord;
  readonly log: RequestLog;
  readonly settings: Pick<RegistrySettings, 'packetBytes' | 'signature'>;
}

/** One request and its answer, with the faults that were ordered for them. */
export class Exchange {
  readonly url: URL;
  readonly record: OpenRecord;
  /** Resolves when the answer is out, or the connection is gone. */
  readonly closed: Promise<void>;
  readonly #parts: ExchangeParts;
  readonly #chunks: AsyncIterator<Buffer>;
  #faults: Actions = {};

  constructor(parts: ExchangeParts) {
    const { request, response, record, log } = parts;
    this.#parts = parts;
    this.record = record;
    this.url = new URL(record.path, 'http://registry.invalid');
    this.#chunks = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.closed = new Promise((resolve) => {
      response.on('close', () => {
        log.ended(record, response.writableFinished ? 'complete' : 'aborted');
        resolve();
      });
    });
    response.on('error', () => {});
  }

  get method(): string {
    return this.record.method;
  }

  header(name: string): string | undefined {
    const value = this.#parts.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  query(name: string): string | undefined {
    return this.url.searchParams.get(name) ?? undefined;
  }

  /**
   * Puts the rules into effect that act before the request is carried out.
   * @returns whether the request has been dealt with.
   */
  async misbehave(actions: readonly Actions[]): Promise<boolean> {
    for (const { latencyMs, hold, call } of actions) {
      if (latencyMs !== undefined) await this.#unlessClosed(sleep(latencyMs));
      if (hold !== undefined) await this.#unlessClosed(hold);
      if (call !== undefined) await call(this.record);
    }
    this.#faults = Object.assign({}, ...actions) as Actions;
    const { status, body = '', afterRequestBytes = 0, stall } = this.#faults;
    if (stall === true) {
      await this.readAtLeast(Infinity);
      await this.#breakOff('stall');
    }
    if (status === undefined) return false;
    await this.readAtLeast(afterRequestBytes);
    await this.answer(status, {}, Buffer.from(body));
    return true;
  }

  /** The request's body. @throws ConnectionGone when it is cut, by the client or by a rule. */
  async *body(): AsyncGenerator<Buffer, void, undefined> {
    const { resetAfterRequestBytes, stallAfterRequestBytes } = this.#faults;
    const limit = resetAfterRequestBytes ?? stallAfterRequestBytes ?? Infinity;
    for (;;) {
      if (this.record.bodyBytes >= limit) {
        if (resetAfterRequestBytes !== undefined) await this.#breakOff('reset');
        // A socket that is not read does not show when the client leaves, so the request ends here for the log.
        this.#parts.log.ended(this.record, 'aborted');
        throw new ConnectionGone();
      }
      const step = await this.#next();
      if (step.done === true) return;
      const chunk = step.value.subarray(0, limit - this.record.bodyBytes);
      this.record.bodyBytes += chunk.length;
      this.#parts.log.changed();
      yield chunk;
    }
  }

  /** The request's body, or undefined when it is longer than allowed. */
  async wholeBody(maxBytes: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.body()) {
      chunks.push(chunk);
      if (this.record.bodyBytes > maxBytes) return undefined;
    }
    return Buffer.concat(chunks);
  }

  /** Reads the body, and throws it away, until so many bytes have come or it ends. */
  async readAtLeast(bytes: number): Promise<void> {
    while (this.record.bodyBytes < bytes) {
      const step = await this.#next();
      if (step.done === true) return;
      this.record.bodyBytes += step.value.length;
      this.#parts.log.changed();
    }
  }

  /** A piece of stored content as it is sent: the same bytes, unless a rule wants them wrong. */
  content(bytes: Buffer): Buffer {
    if (this.#faults.wrongBytes !== true || bytes.length === 0) return bytes;
    const wrong = Buffer.from(bytes);
    const middle = bytes.length >> 1;
    wrong.writeUInt8(wrong.readUInt8(middle) ^ 0xff, middle);
    return wrong;
  }

  /** Whether the request brings the signature that Locations have, if any, byte for byte. */
  get isSigned(): boolean {
    const { signature } = this.#parts.settings;
    return signature === undefined || this.record.path.includes(`&${signature}`);
  }

  /** The Content-Range header of a single-range answer. */
  contentRange(header: string): string {
    return this.#faults.contentRange?.(header) ?? header;
  }

  /** Answers; the body of a HEAD is measured, not sent. */
  async answer(status: number, headers: OutgoingHttpHeaders = {}, body: Buffer = Buffer.alloc(0)): Promise<void> {
    const { encoding } = this.#faults;
    if (encoding === undefined || this.method === 'HEAD') return await this.#answer(status, headers, body);
    const unsized = { ...headers, 'content-encoding': encoding, 'content-length': undefined };
    await this.#answer(status, unsized, COMPRESS[encoding](body));
  }

  async #answer(status: number, headers: OutgoingHttpHeaders, body: Buffer): Promise<void> {
    const { response, log } = this.#parts;
    const { cutAfterBytes = Infinity, how = 'reset', stallAfterBytes = Infinity, until, loseAnswer } = this.#faults;
    if (loseAnswer !== undefined) return await this.#breakOff(loseAnswer);
    if (response.destroyed) throw new ConnectionGone();
    const isCut = this.method !== 'HEAD' && cutAfterBytes < body.length;
    const sent = isCut ? body.subarray(0, cutAfterBytes) : body;
    const { dripMs, endless } = this.#faults;
    const framing =
      endless === true ? {} : isCut ? this.#framing(how, body.length, sent.length) : { 'content-length': body.length };
    response.writeHead(status, this.#edited({ ...(status === 204 ? {} : framing), ...headers }));
    log.answered(this.record, status);
    if (this.method !== 'HEAD') {
      if (dripMs !== undefined) await this.#drip(sent, dripMs);
      else await this.#write(sent.subarray(0, stallAfterBytes));
      if (endless === true) for (;;) await this.#write(sent);
      if (stallAfterBytes < sent.length) {
        await (until === undefined ? this.#untilGone() : this.#unlessClosed(until));
        await this.#write(sent.subarray(stallAfterBytes));
      }
    }
    if (isCut && (how === 'reset' || how === 'close')) await this.#breakOff(how);
    response.end();
  }

  /** Answers with an error as the distribution specification writes it. */
  async fail(status: number, code: string, message: string, detail?: unknown): Promise<void> {
    const errors = [{ code, message, ...(detail === undefined ? {} : { detail }) }];
    await this.answer(status, { 'content-type': 'application/json' }, Buffer.from(JSON.stringify({ errors })));
  }

  async answerJson(value: unknown, headers: OutgoingHttpHeaders = {}): Promise<void> {
    await this.answer(200, { 'content-type': 'application/json', ...headers }, Buffer.from(JSON.stringify(value)));
  }

  #framing(how: CutKind, whole: number, sent: number): OutgoingHttpHeaders {
    if (how === 'end') return { 'transfer-encoding': 'chunked' };
    if (how === 'short-length') return { 'content-length': sent };
    if (how !== 'end-at-close') return { 'content-length': whole };
    this.#parts.response.useChunkedEncodingByDefault = false;
    return { connection: 'close' };
  }

  /** The headers of an answer as the rules want them. */
  #edited(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    const edits = Object.entries(this.#faults.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]);
    const edited = Object.entries({ ...headers, ...(Object.fromEntries(edits) as OutgoingHttpHeaders) });
    return Object.fromEntries(edited.filter(([, value]) => value !== undefined));
  }

  async #write(bytes: Buffer): Promise<void> {
    const { response, log } = this.#parts;
    const { packetBytes } = this.#parts.settings;
    if (bytes.length === 0) response.flushHeaders();
    for (let start = 0; start < bytes.length; start += packetBytes) {
      const packet = bytes.subarray(start, start + packetBytes);
      this.record.bytesSent += packet.length;
      log.changed();
      await this.#unlessClosed(new Promise<void>((resolve) => response.write(packet, () => resolve())));
    }
  }

  async #drip(bytes: Buffer, everyMs: number): Promise<void> {
    for (let index = 0; index < bytes.length; index += 1) {
      await this.#unlessClosed(sleep(everyMs));
      await this.#write(bytes.subarray(index, index + 1));
    }
  }

  async #next(): Promise<IteratorResult<Buffer, unknown>> {
    try {
      return await this.#chunks.next();
    } catch (error) {
      throw new ConnectionGone('the client left', { cause: error });
    }
  }

  /** Cuts the connection, or waits until the client does. Never returns. */
  async #breakOff(how: 'reset' | 'close' | 'stall'): Promise<never> {
    const { response, connection } = this.#parts;
    if (how === 'reset') connection.reset();
    if (how === 'close') response.socket?.destroySoon();
    return await this.#untilGone();
  }

  async #untilGone(): Promise<never> {
    await this.closed;
    throw new ConnectionGone();
  }

  async #unlessClosed(wait: Promise<unknown>): Promise<void> {
    await Promise.race([wait, this.closed]);
    if (this.#parts.response.destroyed) throw new ConnectionGone();
  }
}
