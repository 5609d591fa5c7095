import { excerpt } from './printable.ts';

/**
 * The `errors` of a server's answer, whatever their exact form; else the beginning of its text.
 *
 * @param secret  what was sent to the server, and must not be shown should it be quoted.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 * @see https://www.rfc-editor.org/rfc/rfc6749#section-5.2 (token servers)
 */
export function parseErrorBody(
  text: string,
  secret?: string,
): { readonly codes: readonly string[]; readonly message: string } {
  const hidden = secret ? [secret, JSON.stringify(secret).slice(1, -1)] : [];
  const safe = (said: string): string => hidden.reduce((shown, part) => shown.replaceAll(part, '***'), said);
  const errors = jsonErrors(text);
  if (errors === undefined) {
    const isMarkup = text.trimStart().startsWith('<');
    return { codes: [], message: isMarkup ? '' : excerpt(safe(text)) };
  }
  const codes = errors.map((error) => error.code).filter(isGiven);
  const message = errors
    .map(({ code, message: said, detail }) => {
      const told = [code, said].filter(isGiven).join(': ');
      return detail === '' || told.includes(detail) ? told : `${told} [${detail}]`.trim();
    })
    .filter(isGiven)
    .join('; ');
  return { codes, message: excerpt(safe(message)) };
}

function isGiven(text: string): boolean {
  return text !== '';
}

function jsonErrors(text: string): readonly OneError[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  if ('errors' in parsed && Array.isArray(parsed.errors)) return parsed.errors.map(oneError);
  const isError = ['details', 'message', 'code', 'error'].some((name) => name in parsed);
  return isError ? [oneError(parsed)] : undefined;
}

interface OneError {
  readonly code: string;
  readonly message: string;
  readonly detail: string;
}

function oneError(error: unknown): OneError {
  const fields: Record<string, unknown> = typeof error === 'object' && error !== null ? { ...error } : {};
  const [code = ''] = [fields['code'], fields['error']].filter((value) => typeof value === 'string');
  const [message = ''] = [fields['message'], fields['details'], fields['error_description']].filter(
    (value) => typeof value === 'string',
  );
  // How often one may ask is all that counts about a limit.
  return { code, message, detail: code === 'TOOMANYREQUESTS' ? '' : detailText(fields['detail']) };
}

/** Registries put texts, objects or lists there: what was missing, or which right. */
function detailText(detail: unknown): string {
  if (typeof detail === 'string') return detail.trim();
  if (typeof detail !== 'object' || detail === null || Object.keys(detail).length === 0) return '';
  return JSON.stringify(detail);
}
