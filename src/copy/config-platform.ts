import { pipeline } from 'node:stream';
import { ContentMismatchError } from '../digest/digest.ts';
import { verifiedStream } from '../digest/verified-stream.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { parsePlatformFields } from '../manifest/parse-descriptor.ts';
import { parseJsonObject } from '../manifest/json-fields.ts';
import { InvalidManifestError, parseManifest } from '../manifest/parse-manifest.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import type { GetBlobOptions } from '../contract/image-source.ts';
import type { ReadableImage } from './manifest-reader.ts';

/** Configs up to here are parsed, in bytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/**
 * The platform that an image says it is for: in its config, or in schema 1 itself.
 * @returns undefined for an index, an artifact, and a config that names no platform.
 * @throws ImgcopyError ERR_CONFIG_TOO_LARGE
 */
export async function platformOfImage(image: ReadableImage, raw: RawManifest): Promise<Platform | undefined> {
  const manifest = parseManifest(raw.bytes, raw.mediaType);
  if (manifest.kind === 'schema1') return manifest.platform;
  if (manifest.kind === 'index' || manifest.isArtifact || manifest.config === undefined) return undefined;
  return platformIn(await readConfig(image, manifest.config));
}

async function readConfig(image: ReadableImage, config: Descriptor): Promise<Buffer> {
  if (config.size > MAX_CONFIG_BYTES) {
    throw new ImgcopyError(`config ${config.digest} has ${config.size} bytes; at most ${MAX_CONFIG_BYTES} are parsed`, {
      code: 'ERR_CONFIG_TOO_LARGE',
      side: 'source',
    });
  }
  try {
    return await readVerified(image, config);
  } catch (error) {
    // A cache on the way may hold other bytes than the registry.
    if (!(error instanceof ContentMismatchError)) throw error;
    return await readVerified(image, config, { isFresh: true });
  }
}

async function readVerified(
  { source, signal }: ReadableImage,
  config: Descriptor,
  options: Pick<GetBlobOptions, 'isFresh'> = {},
): Promise<Buffer> {
  const { stream } = await source.getBlob(config, { ...options, signal });
  const verified = pipeline(stream, verifiedStream(config), () => undefined);
  return Buffer.concat((await verified.toArray({ signal })) as Buffer[]);
}

/** @see https://github.com/opencontainers/image-spec/blob/main/config.md#properties */
function platformIn(config: Buffer): Platform | undefined {
  try {
    const platform = parsePlatformFields(parseJsonObject(config));
    return platform.os === '' || platform.architecture === '' ? undefined : platform;
  } catch (error) {
    if (error instanceof InvalidManifestError) return undefined;
    throw error;
  }
}
