import { ImgcopyError, type ErrorKind } from '../index.ts';

const STATUS: Readonly<Record<ErrorKind, number>> = {
  failed: 1,
  usage: 2,
  'not-found': 3,
  denied: 4,
  integrity: 5,
  'rate-limited': 6,
};

export function exitStatusOf(error: unknown): number {
  return error instanceof ImgcopyError ? STATUS[error.kind] : 1;
}

/**
 * What failed, then side, request and answer, then what to do:
 *
 *     imgcopy: copying layer sha256:9f1c… to docker://registry.test/app:1
 *       destination: PATCH https://registry.test/v2/app/blobs/uploads/…: 413 (SIZE_INVALID)
 *       hint: a proxy before the registry limits the size of a request    [ERR_UPLOAD_TOO_LARGE]
 */
export function formatError(error: unknown, options: { readonly stack: boolean }): string {
  const lines = [`imgcopy: ${printable(messageOf(error))}`];
  for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
    const message = printable(messageOf(cause));
    const isNews = !lines.some((line) => line.includes(message));
    if (isNews)
      lines.push(`  ${cause instanceof ImgcopyError && cause.side !== undefined ? `${cause.side}: ` : ''}${message}`);
  }
  if (error instanceof ImgcopyError) {
    const code = `[${error.code}]`;
    if (error.hint === undefined) lines[lines.length - 1] += `    ${code}`;
    else lines.push(`  hint: ${printable(error.hint)}    ${code}`);
  }
  if (options.stack && error instanceof Error && error.stack !== undefined) lines.push(error.stack);
  return `${lines.join('\n')}\n`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

/** What servers and files say may hold control characters that would steer the terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ');
}
