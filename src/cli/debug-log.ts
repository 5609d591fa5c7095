import { printable, type HttpRequest } from '../index.ts';

/** One line on stderr for a request that went out: no query and no headers, which may hold secrets. */
export function logRequest(
  request: HttpRequest,
  outcome: { readonly status: number } | { readonly error: unknown },
): void {
  const { method, url, side } = request;
  const range = request.headers?.['range'];
  const asked = range === undefined ? '' : ` (${range.length > 80 ? `${range.slice(0, 80)}…` : range})`;
  const end = 'status' in outcome ? `${outcome.status}` : messageOf(outcome.error);
  process.stderr.write(`${printable(`${side}: ${method} ${url.origin}${url.pathname}${asked}: ${end}`)}\n`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
