import { Readable } from 'node:stream';
import type { HttpRequest, HttpResponse } from './send.ts';

/** An answer with the codes that its body names, as far as it is a registry's error. */
export interface PeekedResponse {
  readonly response: HttpResponse;
  readonly codes: readonly string[];
}

/** What is read of an error's body, in bytes and ms: what comes after that is dropped. */
const MAX_BYTES = 64 * 1024;
const MAX_MS = 10_000;

/**
 * Reads the codes of a registry's error, and hands the answer on with its body to be read again. Other answers pass untouched; 401 too, for
 * credentials follow whatever it says. Never throws: the status of an answer holds whatever becomes of its body.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
export async function peekErrorCodes(
  { method }: Pick<HttpRequest, 'method'>,
  response: HttpResponse,
): Promise<PeekedResponse> {
  if (response.status < 400 || response.status === 401 || method === 'HEAD') return { response, codes: [] };
  const bytes = await readBeginning(response.body);
  const codes = [...bytes.toString('utf8').matchAll(/"code"\s*:\s*"(\w+)"/g)].map(([, code = '']) => code);
  return { response: { ...response, body: Readable.from([bytes], { objectMode: false }) }, codes };
}

async function readBeginning(body: Readable): Promise<Buffer> {
  body.on('error', () => undefined);
  const timer = setTimeout(() => body.destroy(), MAX_MS);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= MAX_BYTES) break;
    }
  } catch {
    // What came is enough.
  }
  clearTimeout(timer);
  return Buffer.concat(chunks);
}
