import { ImgcopyError, type ErrorKind, type Side } from '../../errors/imgcopy-error.ts';
import { parseErrorBody } from '../../errors/error-body.ts';
import { apiHost } from '../../reference/registry-host.ts';
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
    hint: tlsHint(text, request.side) ?? denial?.hint ?? hintOf(status, codes, request),
  });
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

function hintOf(
  status: number,
  codes: readonly string[],
  { method, side, kind, url }: HttpRequest,
): string | undefined {
  if (isRateLimit(status, codes))
    return "the registry's rate limit is reached; try again later, or log in for a higher limit";
  if (isDenial(status, codes))
    return 'ask the operator of the server: it refuses this request with and without credentials';
  if (codes.includes('NAME_UNKNOWN') && side === 'destination')
    return 'some registries need the repository to exist before the first push';
  if (isNotFound(status, codes) && kind === 'blob-write' && method !== 'POST')
    return 'run the command again; if this comes back, ask the operator whether all servers of the registry share their storage';
  if (isNotFound(status, codes) && kind === 'blob-read')
    return 'push the image there again, or copy it from elsewhere: the registry is missing a blob of it';
  if (codes.includes('NAME_UNKNOWN')) return 'check the name of the repository';
  if (isNotFound(status, codes)) return `check the name and the tag; imgcopy tags ${repositoryIn(url)} lists the tags`;
  if (status === 413 && kind === 'manifest-write')
    return 'the registry limits the size of manifests; choose fewer images with --platform';
  if (status === 413) return 'ask the operator of the registry to raise the limit: a proxy in front of it may set one';
  return isPassingAnswer(status, codes) ? 'the registry reported an internal error; try again later' : undefined;
}

/** The repository that a request is for, as it is named in references. */
function repositoryIn({ host, pathname }: URL): string {
  const [, name = 'REPOSITORY'] = /^\/v2\/(.+)\/(?:manifests|blobs|tags)\//.exec(pathname) ?? [];
  return `${host === apiHost('docker.io') ? 'docker.io' : host}/${name}`;
}

/** What Go's and nginx's servers answer to http where they speak https, and to a client without a certificate. */
function tlsHint(text: string, side: Side): string | undefined {
  const prefix = side === 'source' ? '--src-' : '--dest-';
  if (/HTTP request (?:was sent )?to (?:an )?HTTPS/i.test(text))
    return `leave out ${prefix}plain-http: this server speaks TLS`;
  if (/No required SSL certificate was sent|The SSL certificate error/.test(text))
    return `give a client certificate: put NAME.cert and NAME.key into a directory and name it with ${prefix}cert-dir`;
  return undefined;
}

function isDenial(status: number, codes: readonly string[]): boolean {
  return (status === 401 || status === 403) && !isRateLimit(status, codes);
}

/** An upload that the registry has forgotten is not what the user named. */
function isNotFound(status: number, codes: readonly string[]): boolean {
  return status === 404 && !codes.includes('BLOB_UPLOAD_UNKNOWN');
}
