import { promisify } from 'node:util';
import type * as zlibModule from 'node:zlib';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import { redactUrl } from './network-error.ts';
import type { HttpRequest } from './send.ts';

type Zlib = typeof zlibModule;
type Decoder = (
  bytes: Buffer,
  options: { readonly maxOutputLength: number },
  done: (error: Error | null, decoded: Buffer) => void,
) => void;

const DECODERS: Readonly<Record<string, (zlib: Zlib, bytes: Buffer) => Decoder>> = {
  gzip: (zlib) => zlib.gunzip,
  'x-gzip': (zlib) => zlib.gunzip,
  // Some servers send deflate without the zlib header that the RFC wants.
  deflate: (zlib, bytes) => ((bytes[0] ?? 0) % 16 === 8 ? zlib.inflate : zlib.inflateRaw),
  br: (zlib) => zlib.brotliDecompress,
  zstd: (zlib) => zlib.zstdDecompress,
};

/**
 * Undoes a Content-Encoding, which some proxies apply although the request forbids it.
 *
 * @param encoding  the header's value.
 * @param maxBytes  of the result.
 * @throws ImgcopyError `ERR_CONTENT_ENCODING` for an unknown encoding, and for bytes that are not in it; what zlib throws for too many bytes.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.4
 */
export async function decodeContent(
  encoded: Buffer,
  encoding: string,
  { request, maxBytes }: { readonly request: HttpRequest; readonly maxBytes: number },
): Promise<Buffer> {
  const names = encoding
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== 'identity' && name !== '');
  if (names.length === 0 || encoded.length === 0) return encoded;
  const zlib = await import('node:zlib');
  let bytes = encoded;
  for (const name of names.toReversed()) {
    const decoder = DECODERS[name];
    if (decoder === undefined) throw encodingError(request, `the Content-Encoding ${name} is not supported`);
    const decode = promisify(decoder(zlib, bytes));
    bytes = await decode(bytes, { maxOutputLength: maxBytes }).catch((error: unknown) => {
      if (error instanceof RangeError) throw error;
      throw encodingError(request, `the body is not valid ${name}, which its Content-Encoding names`, error);
    });
  }
  return bytes;
}

function encodingError(request: HttpRequest, what: string, cause?: unknown): ImgcopyError {
  return new ImgcopyError(`${request.method} ${redactUrl(request.url)}: ${what}`, {
    code: 'ERR_CONTENT_ENCODING',
    side: request.side,
    hint: 'ask the operator of the registry, or of the proxy in front of it, to turn off compression',
    cause,
  });
}
