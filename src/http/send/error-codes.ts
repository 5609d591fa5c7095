import { Readable } from 'node:stream';
import { readRefusal } from './body.ts';
import type { HttpRequest, HttpResponse } from './send.ts';

/** An answer with the codes that its body names, as far as it is a registry's error. */
export interface PeekedResponse {
  readonly response: HttpResponse;
  readonly codes: readonly string[];
}

/**
 * Reads the codes of a registry's error, and hands the answer on with its body to be read again. Other answers pass untouched; 401 too, for
 * credentials follow whatever it says. Never throws: the status of an answer holds whatever becomes of its body.
 *
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
export async function peekErrorCodes(request: HttpRequest, response: HttpResponse): Promise<PeekedResponse> {
  if (response.status < 400 || response.status === 401 || request.method === 'HEAD') return { response, codes: [] };
  const bytes = await readRefusal(response, request);
  const codes = [...bytes.toString('utf8').matchAll(/"code"\s*:\s*"(\w+)"/g)].map(([, code = '']) => code);
  return { response: { ...response, body: Readable.from([bytes], { objectMode: false }) }, codes };
}
