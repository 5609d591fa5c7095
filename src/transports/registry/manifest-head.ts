import { isDigest, type Digest } from '../../digest/digest.ts';
import { header, type HttpResponse } from '../../http/index.ts';

/** What a HEAD says of a manifest; a registry may leave each of them out. */
export interface ManifestHead {
  readonly digest: Digest | undefined;
  readonly mediaType: string | undefined;
}

/** Reads the headers of an answer for a manifest. A digest that is none is left out. */
export function manifestHead(response: HttpResponse): ManifestHead {
  const digest = header(response, 'docker-content-digest');
  const mediaType = header(response, 'content-type')?.split(';')[0]?.trim();
  return { digest: digest !== undefined && isDigest(digest) ? digest : undefined, mediaType };
}
