import { ImgcopyError } from '../errors/imgcopy-error.ts';

/** Bytes that should be a manifest and are none that can be relied on. */
export class InvalidManifestError extends ImgcopyError {
  constructor(problem: string, options: { readonly cause?: unknown } = {}) {
    super(`invalid manifest: ${problem}`, { code: 'ERR_INVALID_MANIFEST', kind: 'failed', cause: options.cause });
  }
}
