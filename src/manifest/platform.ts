import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from './descriptor.ts';
import { formatPlatform } from './platform-name.ts';

export { formatPlatform, InvalidPlatformError, localPlatform, parsePlatform } from './platform-name.ts';

/** No image for a platform; the message lists the platforms that there are. */
export class PlatformNotFoundError extends ImgcopyError {
  /** @param reference  where the entries are from, for the message. */
  constructor(wanted: Platform, entries: readonly Descriptor[], reference?: string) {
    const where = reference === undefined ? '' : ` in ${reference}`;
    super(`no image for ${formatPlatform(wanted)}${where}: found ${listPlatforms(entries)}`, {
      code: 'ERR_PLATFORM_NOT_FOUND',
      kind: 'not-found',
    });
  }
}

/**
 * The entry of an index to take for a platform: one for the same variant, else for a less capable one (arm v7, v6, v5; amd64 v3, v2), else
 * one that names no variant. A variant that is not known fits only itself. A version of the system fits itself and what begins with it:
 * 10.0.20348 fits 10.0.20348.2700. Where no version is wanted, all fit; features of the system do not count. Among equals zstd comes first, then the
 * order of the index. arm without a variant takes any, an entry without a variant before all. Attestations and entries that name no platform
 * are not taken.
 *
 * @see https://github.com/containers/container-libs/blob/main/image/internal/pkg/platform/platform_matcher.go
 */
export function matchPlatform(entries: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const target = normalise(wanted);
  const candidates = entries.filter((entry) => isImageFor(entry, target));
  for (const variant of acceptableVariants(target)) {
    const equals = candidates.filter(({ platform }) => platform && normalise(platform).variant === variant);
    const best = equals.find(isZstd) ?? equals[0];
    if (best !== undefined) return best;
  }
  return undefined;
}

/** What BuildKit attached to an image of an index: provenance, lists of packages. They go where the image goes. */
export function attestationsFor(entries: readonly Descriptor[], digest: Digest): readonly Descriptor[] {
  return entries.filter(
    (entry) => isAttestation(entry) && entry.annotations?.['vnd.docker.reference.digest'] === digest,
  );
}

interface NormalPlatform {
  readonly os: string;
  readonly architecture: string;
  /** Empty for the one that all machines of the architecture have, and where none is named. */
  readonly variant: string;
  readonly osVersion: string | undefined;
}

function isImageFor(entry: Descriptor, target: NormalPlatform): boolean {
  if (entry.platform === undefined || isAttestation(entry) || isUnknown(entry.platform)) return false;
  const { os, architecture, osVersion } = normalise(entry.platform);
  return os === target.os && architecture === target.architecture && fitsVersion(osVersion, target.osVersion);
}

function fitsVersion(version: string | undefined, wanted: string | undefined): boolean {
  return wanted === undefined || version === wanted || version?.startsWith(`${wanted}.`) === true;
}

/** What a machine can run, best first. */
function acceptableVariants({ architecture, variant }: NormalPlatform): readonly string[] {
  const known = VARIANTS.get(architecture) ?? [];
  if (architecture === 'arm' && variant === '') return ['', ...known];
  const rank = known.indexOf(variant);
  return rank === -1 ? [variant] : [...known.slice(rank), ''];
}

// Most capable first; all machines of an architecture run what names no variant. @see https://go.dev/wiki/MinimumRequirements#architectures
const VARIANTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['amd64', ['v4', 'v3', 'v2']],
  ['arm', ['v8', 'v7', 'v6', 'v5']],
  ['arm64', ['v9']],
  ['ppc64le', ['power10', 'power9', 'power8']],
  ['riscv64', ['rva23u64', 'rva22u64', 'rva20u64']],
]);

/** @see https://github.com/containerd/platforms/blob/main/database.go */
function normalise(platform: Platform): NormalPlatform {
  const os = platform.os.toLowerCase();
  const written = platform.architecture.toLowerCase();
  const alias = ALIASES.get(written);
  const architecture = alias?.architecture ?? written;
  const named = platform.variant?.toLowerCase().replace(/^(?=\d)/, 'v') || alias?.variant || '';
  const variant = named === BASE_VARIANTS.get(architecture) ? '' : named;
  return { os, architecture, variant, osVersion: platform.osVersion?.toLowerCase() };
}

const ALIASES: ReadonlyMap<string, { readonly architecture: string; readonly variant?: string }> = new Map([
  ['x86_64', { architecture: 'amd64' }],
  ['x86-64', { architecture: 'amd64' }],
  ['i386', { architecture: '386' }],
  ['aarch64', { architecture: 'arm64' }],
  ['armhf', { architecture: 'arm', variant: 'v7' }],
  ['armel', { architecture: 'arm', variant: 'v6' }],
]);

const BASE_VARIANTS: ReadonlyMap<string, string> = new Map([
  ['amd64', 'v1'],
  ['arm64', 'v8'],
]);

function isAttestation({ annotations }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] === 'attestation-manifest';
}

function isUnknown({ os, architecture }: Platform): boolean {
  return os === 'unknown' && architecture === 'unknown';
}

function isZstd({ annotations }: Descriptor): boolean {
  return annotations?.['io.github.containers.compression.zstd'] === 'true';
}

function listPlatforms(entries: readonly Descriptor[]): string {
  const platforms = entries.flatMap(({ platform }) =>
    platform && !isUnknown(platform) ? [formatPlatform(platform)] : [],
  );
  const distinct = [...new Set(platforms)];
  if (distinct.length === 0) return 'no entry that names a platform';
  const shown = distinct.slice(0, MAX_LISTED).join(', ');
  return distinct.length > MAX_LISTED ? `${shown} and ${distinct.length - MAX_LISTED} more` : shown;
}

const MAX_LISTED = 32;
