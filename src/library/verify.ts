import type { EndpointOptions } from '../contract/endpoint-options.ts';
import { expectReferrerLists } from '../copy/copy-referrers.ts';
import { imageForPlatform } from '../copy/platform-choice.ts';
import { findReferrers, manifestDigests, type Referrer, type ReferrerSelection } from '../copy/referrers.ts';
import { isDamage, verifyImage, type ImageFault, type VerifiedImage } from '../copy/verify-image.ts';
import type { Digest } from '../digest/digest.ts';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { isIndexType } from '../manifest/media-types.ts';
import { formatPlatform, localPlatform } from '../manifest/platform.ts';
import type { ImageQuestionOptions } from './options.ts';
import { underOwnSignal } from './own-signal.ts';
import { askImage, findDigest, type OpenedImage } from './questions.ts';
import type { SharedResources } from './shared-resources.ts';
import { parseImageName } from '../transports/table.ts';

export interface VerifyOptions extends ImageQuestionOptions {
  /** Read and hash every blob. Default: ask for each, and compare its size. */
  readonly deep?: boolean | undefined;
  /** Look at what refers to the image and to its instances as well. Default false. */
  readonly referrers?: boolean | undefined;
  /** Only referrers of these types, with `*` and `?`; cosign's tags are `sig`, `att` and `sbom`. Asks for referrers. Default: all. */
  readonly referrerTypes?: readonly string[] | undefined;
  /** An image that this one has to be: of the same digest, and with `referrers`, all that refers to it there refers to this one here. */
  readonly sameAs?: string | undefined;
  /** How the registry of `sameAs` is reached. */
  readonly sameAsEndpoint?: EndpointOptions | undefined;
}

/** What a look at an image has found. It is whole where there are no `faults`. */
export interface VerifyResult extends Omit<VerifiedImage, 'referrers'> {
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** How many refer to the image, where that was asked for. */
  readonly referrers?: number | undefined;
  /** What it was compared with. */
  readonly sameAs?: { readonly reference: string; readonly digest: Digest } | undefined;
}

/** See Copier.verify. */
export async function verify(
  shared: SharedResources,
  reference: string,
  options: VerifyOptions,
): Promise<VerifyResult> {
  const { deep, referrers, referrerTypes, sameAs } = options;
  const selection = (referrers ?? referrerTypes !== undefined) ? { types: referrerTypes } : undefined;
  return underOwnSignal(options.signal, async (signal) => {
    const asked = { ...options, signal };
    const [{ manifest, opened, ...verified }, other] = await Promise.all([
      lookAt(shared, reference, asked, { deep, referrers: selection }),
      sameAs === undefined ? undefined : readOther(shared, sameAs, asked, selection),
    ]);
    const { faults, referrers: found, ...counts } = verified;
    return {
      reference: opened,
      digest: manifest.digest,
      mediaType: manifest.mediaType,
      ...counts,
      ...(found && { referrers: found.length }),
      ...(other && { sameAs: { reference: other.reference, digest: other.digest } }),
      faults: [...faults, ...(other === undefined ? [] : differences({ manifest, found }, other))],
    };
  });
}

interface Looked extends VerifiedImage {
  /** The image's full name. */
  readonly opened: string;
  readonly manifest: OpenedImage['manifest'];
}

async function lookAt(
  shared: SharedResources,
  reference: string,
  options: VerifyOptions,
  wanted: { readonly deep: boolean | undefined; readonly referrers: ReferrerSelection | undefined },
): Promise<Looked> {
  try {
    return await askImage(shared, reference, options, async (image) => {
      if (wanted.referrers !== undefined) expectReferrerLists(image.source);
      const { pool, memory } = shared;
      const manifest = await oneOfMany(shared, image, options);
      const verified = await verifyImage({ ...image, manifest, pool, memory }, wanted);
      await image.source.finish?.({ signal: image.signal });
      return { ...verified, manifest, opened: image.source.reference };
    });
  } catch (error) {
    if (!(error instanceof ImgcopyError) || error.kind === 'integrity' || !isDamage(error)) throw error;
    throw new ImgcopyError(error.message, { code: error.code, kind: 'integrity', cause: error.cause ?? error });
  }
}

/** Of an archive that has some of an index's images, a copy reads the one for this machine. */
async function oneOfMany(
  { warn }: SharedResources,
  image: OpenedImage,
  { platform }: VerifyOptions,
): Promise<OpenedImage['manifest']> {
  const { source, manifest } = image;
  if (platform !== undefined || source.onePlatform !== true || !isIndexType(manifest.mediaType)) return manifest;
  const local = localPlatform();
  warn(`${source.reference} has one platform: ${formatPlatform(local)} is looked at; choose another with --platform`);
  return await imageForPlatform(image, manifest, local);
}

interface Other {
  readonly reference: string;
  readonly digest: Digest;
  readonly referrers: readonly Referrer[];
}

async function readOther(
  shared: SharedResources,
  sameAs: string,
  { platform, sameAsEndpoint: endpoint, signal, onRequest }: VerifyOptions,
  selection: ReferrerSelection | undefined,
): Promise<Other> {
  const options = { platform, endpoint, signal, onRequest };
  const reference = String(parseImageName(sameAs, shared.transports).withDefaultTag());
  if (selection === undefined) {
    return { reference, digest: await findDigest(shared, sameAs, options), referrers: [] };
  }
  return await askImage(shared, sameAs, options, async (image) => {
    expectReferrerLists(image.source);
    const referrers: Referrer[] = [];
    const subjects = await manifestDigests(image, image.manifest);
    for await (const found of findReferrers(image, subjects, selection)) referrers.push(...found.referrers);
    return { reference, digest: image.manifest.digest, referrers };
  });
}

/** What the other image has, and this one has not. */
function differences(
  { manifest, found = [] }: { readonly manifest: Looked['manifest']; readonly found: Looked['referrers'] },
  { reference, digest, referrers }: Other,
): readonly ImageFault[] {
  if (manifest.digest !== digest) {
    const message = `${reference} is another image: ${digest}`;
    return [{ kind: 'different', part: 'manifest', digest: manifest.digest, message }];
  }
  const here = new Set(found.map(keyOf));
  return referrers
    .filter((one) => !here.has(keyOf(one)))
    .map(({ subject, descriptor, tag }) => ({
      kind: 'missing',
      part: 'referrer',
      digest: descriptor.digest,
      namedBy: subject,
      ...(tag !== undefined && { tag }),
      message: `it refers to the image at ${reference}, and not here`,
    }));
}

function keyOf({ subject, descriptor, tag = '' }: Referrer): string {
  return `${subject} ${descriptor.digest} ${tag}`;
}
