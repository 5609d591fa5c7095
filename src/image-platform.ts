import { DigestVerifier } from './digest/digest.ts';
import type { OpenedImage } from './image-queries.ts';
import type { Descriptor, Platform } from './manifest/descriptor.ts';
import { MediaType } from './manifest/media-types.ts';

const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const IMAGE_CONFIGS: ReadonlySet<string> = new Set([MediaType.ociConfig, MediaType.dockerConfig]);

/** The platform that an image's config names; undefined where the config is that of an artifact, or too large to be one. */
export async function readPlatform(
  { source, signal }: OpenedImage,
  { config }: { readonly config?: Descriptor | undefined },
): Promise<Platform | undefined> {
  if (config === undefined || !IMAGE_CONFIGS.has(config.mediaType) || config.size > MAX_CONFIG_BYTES) return undefined;
  const { stream } = await source.getBlob(config, { signal });
  const verifier = new DigestVerifier(config);
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    verifier.update(chunk);
    chunks.push(chunk);
  }
  verifier.finish();
  return platformOf(Buffer.concat(chunks).toString('utf8'));
}

/** @see https://github.com/opencontainers/image-spec/blob/main/config.md#properties */
function platformOf(text: string): Platform | undefined {
  const config = parsed(text);
  const named = (name: string): string | undefined => {
    const value = config[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const [os, architecture, variant] = [named('os'), named('architecture'), named('variant')];
  if (os === undefined || architecture === undefined) return undefined;
  return variant === undefined ? { os, architecture } : { os, architecture, variant };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
