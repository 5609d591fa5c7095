import { pipeline } from 'node:stream';
import { digestAlgorithm, digestOf, type Digest } from '../digest/digest.ts';
import { verifiedStream } from '../digest/verified-stream.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { subsetIndex } from '../manifest/edit-manifest.ts';
import { parseManifest } from '../manifest/parse-manifest.ts';
import { attestationsFor, matchPlatform, formatPlatform, PlatformNotFoundError } from '../manifest/platform.ts';
import type { RawManifest } from '../types/blob-info.ts';
import type { CopyImageOptions, Wanted } from './copy-image.ts';
import type { PreparedRun } from './copy-run.ts';

/**
 * The manifest to copy for the platforms that are wanted: the source's own for all, an instance for one, and for several a new index of
 * just these with their attestations (or the source's index, when it may be sparse).
 */
export async function selectInstances(
  run: PreparedRun,
  root: RawManifest,
  { platforms, sparse, preserveDigests }: CopyImageOptions,
): Promise<Wanted> {
  if (platforms === undefined || platforms.length === 0) return root;
  const index = parseManifest(root.bytes, root.mediaType);
  if (index.kind !== 'index') return onlyIfItMatches(run, root, platforms);

  const chosen = platforms.map((platform) => required(index.manifests, platform, run.source.reference));
  const [first, ...others] = chosen;
  if (first !== undefined && others.length === 0)
    return run.source.getManifest({ instanceDigest: first.digest, signal: run.signal });

  const only = new Set<Digest>(
    chosen.flatMap(({ digest }) => [
      digest,
      ...attestationsFor(index.manifests, digest).map((attestation) => attestation.digest),
    ]),
  );
  if (sparse) return { ...root, only };
  const bytes = subsetIndex(root.bytes, (entry) => only.has(entry.digest));
  if (bytes.equals(root.bytes)) return root;
  if (preserveDigests) {
    throw new ImgcopyError(
      'an index of just these platforms has a digest of its own, and digests are to be preserved',
      {
        code: 'ERR_DIGEST_NOT_PRESERVED',
        kind: 'usage',
        hint: 'keep the index of the source with --sparse, or leave out --preserve-digests',
      },
    );
  }
  run.emit({
    type: 'warning',
    message: `the index holds ${chosen.map(named).join(', ')} alone: its digest is new, and signatures on the source's index do not cover it`,
  });
  return { bytes, mediaType: root.mediaType, digest: digestOf(bytes, digestAlgorithm(root.digest)) };
}

function required(entries: readonly Descriptor[], platform: Platform, reference: string): Descriptor {
  const found = matchPlatform(entries, platform);
  if (found === undefined) throw new PlatformNotFoundError(platform, entries, reference);
  return found;
}

/** An image without an index has one platform, which its config tells. */
async function onlyIfItMatches(
  { source, signal }: PreparedRun,
  root: RawManifest,
  platforms: readonly Platform[],
): Promise<RawManifest> {
  const manifest = parseManifest(root.bytes, root.mediaType);
  const config = manifest.kind === 'image' && !manifest.isArtifact ? manifest.config : undefined;
  if (config === undefined) return root;
  const platform = await platformOfConfig({ source, signal }, config);
  if (platform === undefined) return root;
  const entry = { ...config, platform };
  const lacking = platforms.find((wanted) => matchPlatform([entry], wanted) === undefined);
  if (lacking !== undefined) throw new PlatformNotFoundError(lacking, [entry], source.reference);
  return root;
}

/** Configs are parsed up to here, in bytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

async function platformOfConfig(
  { source, signal }: Pick<PreparedRun, 'source' | 'signal'>,
  config: Descriptor,
): Promise<Platform | undefined> {
  if (config.size > MAX_CONFIG_BYTES) {
    throw new ImgcopyError(`config ${config.digest} has ${config.size} bytes; at most ${MAX_CONFIG_BYTES} are parsed`, {
      code: 'ERR_CONFIG_TOO_LARGE',
      side: 'source',
    });
  }
  const { stream } = await source.getBlob(config, { signal });
  const verified = pipeline(stream, verifiedStream(config), () => undefined);
  const bytes = Buffer.concat((await verified.toArray({ signal })) as Buffer[]);
  try {
    const { os, architecture, variant } = JSON.parse(bytes.toString('utf8')) as Partial<
      Record<'os' | 'architecture' | 'variant', unknown>
    >;
    if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
    return { os, architecture, ...(typeof variant === 'string' && { variant }) };
  } catch {
    return undefined;
  }
}

function named({ platform }: Descriptor): string {
  return platform === undefined ? 'unknown' : formatPlatform(platform);
}
