import { ImgcopyError, type ErrorKind, type Side } from '../../errors/imgcopy-error.ts';
import { excerpt } from '../../errors/printable.ts';
import {
  isPassingAnswer,
  isRateLimit,
  readBody,
  redactUrl,
  type HttpRequest,
  type HttpResponse,
} from '../../http/index.ts';

/** Error bodies are read up to here, in bytes. */
const MAX_ERROR_BODY = 1024 * 1024;

/** A registry answered a request with a status that says no. */
export class RegistryError extends ImgcopyError {
  readonly status: number;
  /** The codes of the distribution specification that the answer named, e.g. `MANIFEST_UNKNOWN`. */
  readonly codes: readonly string[];

  constructor(
    message: string,
    options: {
      status: number;
      codes: readonly string[];
      side: Side;
      request?: string | undefined;
      hint: string | undefined;
    },
  ) {
    const { status, codes, side, request, hint } = options;
    super(message, {
      code: codeOf(status, codes),
      kind: kindOf(status, codes),
      side,
      ...(request !== undefined && { request }),
      ...(hint !== undefined && { hint }),
    });
    this.status = status;
    this.codes = codes;
  }
}

/** Reads the answer's body and makes the error of it. */
export async function toRegistryError(request: HttpRequest, response: HttpResponse): Promise<RegistryError> {
  const text = await readBody(response, request, MAX_ERROR_BODY).then(
    (body) => body.toString('utf8'),
    () => '',
  );
  const { codes, message } = parseErrorBody(text);
  const { status } = response;
  const denial = isDenial(status, codes) ? response.denial : undefined;
  const said = message === '' ? '' : ` (${message})`;
  const who = denial === undefined ? '' : `; ${denial.sent}`;
  const sent = `${request.method} ${redactUrl(request.url)}`;
  return new RegistryError(`${sent}: ${status}${said}${who}`, {
    status,
    codes,
    side: request.side,
    request: sent,
    hint: denial?.hint ?? hintOf(status, codes, request),
  });
}

/**
 * The `errors` of a registry's answer, whatever their exact form; else the beginning of its text.
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes
 */
export function parseErrorBody(text: string): { readonly codes: readonly string[]; readonly message: string } {
  const errors = jsonErrors(text);
  if (errors === undefined) {
    const isMarkup = text.trimStart().startsWith('<');
    return { codes: [], message: isMarkup ? '' : excerpt(text) };
  }
  const codes = errors.map((error) => error.code).filter(isGiven);
  const message = errors
    .map(({ code, message: said, detail }) => {
      const told = [code, said].filter(isGiven).join(': ');
      return detail === '' || told.includes(detail) ? told : `${told} [${detail}]`.trim();
    })
    .filter(isGiven)
    .join('; ');
  return { codes, message: excerpt(message) };
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
  return 'details' in parsed || 'message' in parsed || 'code' in parsed ? [oneError(parsed)] : undefined;
}

interface OneError {
  readonly code: string;
  readonly message: string;
  readonly detail: string;
}

function oneError(error: unknown): OneError {
  const fields: Record<string, unknown> = typeof error === 'object' && error !== null ? { ...error } : {};
  const [code = ''] = [fields['code']].filter((value) => typeof value === 'string');
  const [message = ''] = [fields['message'], fields['details']].filter((value) => typeof value === 'string');
  // How often one may ask is all that counts about a limit.
  return { code, message, detail: code === 'TOOMANYREQUESTS' ? '' : detailText(fields['detail']) };
}

/** Registries put texts, objects or lists there: what was missing, or which right. */
function detailText(detail: unknown): string {
  if (typeof detail === 'string') return detail.trim();
  if (typeof detail !== 'object' || detail === null || Object.keys(detail).length === 0) return '';
  return JSON.stringify(detail);
}

function kindOf(status: number, codes: readonly string[]): ErrorKind {
  if (isRateLimit(status, codes)) return 'rate-limited';
  if (isDenial(status, codes)) return 'denied';
  return isNotFound(status, codes) ? 'not-found' : 'failed';
}

function codeOf(status: number, codes: readonly string[]): string {
  if (isRateLimit(status, codes)) return 'ERR_RATE_LIMITED';
  if (isDenial(status, codes)) return 'ERR_DENIED';
  if (isNotFound(status, codes)) return 'ERR_NOT_FOUND';
  if (status === 413) return 'ERR_UPLOAD_TOO_LARGE';
  return status >= 500 ? 'ERR_REGISTRY_FAULT' : 'ERR_REGISTRY_REFUSED';
}

function hintOf(status: number, codes: readonly string[], { method, side, kind }: HttpRequest): string | undefined {
  if (isRateLimit(status, codes))
    return "the registry's rate limit is reached; try again later, or log in for a higher limit";
  if (isDenial(status, codes)) return 'the server refuses this request, whoever sends it';
  if (codes.includes('NAME_UNKNOWN') && side === 'destination')
    return 'some registries need the repository to exist before the first push';
  if (isNotFound(status, codes) && kind === 'blob-write' && method !== 'POST')
    return 'the registry no longer knows this upload; if several servers answer for it, they have to share their storage';
  if (isNotFound(status, codes) && kind === 'blob-read')
    return 'the registry lacks a blob that its manifest names; push the image there again, or copy it from elsewhere';
  if (isNotFound(status, codes)) return 'check the name and the tag; imgcopy tags REPOSITORY lists the tags';
  if (status === 413) return 'a proxy in front of the registry limits request sizes; ask its owner to raise it';
  return isPassingAnswer(status, codes) ? 'the registry reported an internal error; try again later' : undefined;
}

function isDenial(status: number, codes: readonly string[]): boolean {
  return (status === 401 || status === 403) && !isRateLimit(status, codes);
}

/** An upload that the registry has forgotten is not what the user named. */
function isNotFound(status: number, codes: readonly string[]): boolean {
  return status === 404 && !codes.includes('BLOB_UPLOAD_UNKNOWN');
}
