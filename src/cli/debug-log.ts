import type { HttpRequest } from '../index.ts';

/** One line on stderr for a request that went out: no query and no headers, which may hold secrets. */
export function logRequest(
  request: HttpRequest,
  outcome: { readonly status: number } | { readonly error: unknown },
): void {
  const { method, url, side } = request;
  const range = request.headers?.['range'];
  const end =
    'status' in outcome
      ? outcome.status
      : outcome.error instanceof Error
        ? outcome.error.message
        : String(outcome.error);
  process.stderr.write(
    `${side}: ${method} ${url.origin}${url.pathname}${range === undefined ? '' : ` (${range.slice(0, 80)})`}: ${end}\n`,
  );
}
