import type { Digest } from '../../../src/digest/digest.ts';
import type { Exchange } from './exchange.ts';
import { sendBlob } from './blobs.ts';
import type { RegistryState } from './state.ts';

/** The signed URLs that blob GETs are redirected to. */
export class Redirects {
  readonly #storageUrl: () => string;
  readonly #uses = new Map<string, number>();

  constructor(storageUrl: () => string) {
    this.#storageUrl = storageUrl;
  }

  sign(repository: string, digest: Digest): string {
    const signature = `signature-${this.#uses.size + 1}`;
    this.#uses.set(signature, 0);
    return `${this.#storageUrl()}/storage/${repository}/${digest}?X-Signature=${signature}`;
  }

  /** Notes that a signature is used. @returns how often it was before; undefined for one that was never given out. */
  use(signature: string | undefined): number | undefined {
    const uses = this.#uses.get(signature ?? '');
    if (uses !== undefined) this.#uses.set(signature ?? '', uses + 1);
    return uses;
  }
}

/** A blob on the storage origin. */
export async function handleStoredBlob(
  exchange: Exchange,
  registry: RegistryState,
  repository: string,
  digest: string,
): Promise<void> {
  const uses = registry.redirects.use(exchange.query('X-Signature'));
  if (uses === undefined || !exchange.isSigned || (uses > 0 && registry.settings.redirectBlobs === 'single-use')) {
    return await exchange.answer(
      403,
      { 'content-type': 'application/xml' },
      Buffer.from('<Error><Code>AccessDenied</Code></Error>'),
    );
  }
  const blob = registry.store.find(repository)?.blobs.get(digest as Digest);
  if (blob === undefined) return await exchange.answer(404, {}, Buffer.from('<Error><Code>NoSuchKey</Code></Error>'));
  await sendBlob(exchange, registry, blob, digest as Digest);
}
