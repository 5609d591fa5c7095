import type { Digest } from '../../digest/digest.ts';
import { digestOf } from '../../digest/digest.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { RawManifest } from '../../contract/blob-info.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import type { LayoutImage } from '../../manifest/image-layout.ts';
import { MediaType } from '../../manifest/media-types.ts';
import {
  addReferrers,
  asReferrer,
  parseReferrersIndex,
  type Referrer,
  referrersTag,
} from '../../manifest/referrers-index.ts';
import { readLayoutManifest } from './layout-files.ts';

/** A layout that can be read. */
export interface ListedLayout {
  /** Absolute. */
  readonly directory: string;
  readonly images: readonly LayoutImage[];
}

/** What refers to the manifests of a layout, as it was when it was opened. */
export class LayoutReferrers {
  readonly #layout: ListedLayout;
  #nameless: Promise<ReadonlyMap<Digest, readonly Descriptor[]>> | undefined;

  constructor(layout: ListedLayout) {
    this.#layout = layout;
  }

  /** By the index under its referrers tag, as regctl and imgcopy keep it, and by manifests without a name whose subject it is, as oras does. */
  async of(subject: Digest): Promise<readonly Descriptor[]> {
    const index = await readReferrersIndex(this.#layout, subject);
    const tagged = index === undefined ? [] : (parseReferrersIndex(index)?.manifests ?? []);
    const nameless = (await (this.#nameless ??= readNameless(this.#layout))).get(subject) ?? [];
    return [...new Map([...tagged, ...nameless].map((one) => [one.digest, one])).values()];
  }
}

/** The manifests without a name that have a subject, by that. Each is read once, whatever number of manifests is asked about. */
async function readNameless({ directory, images }: ListedLayout): Promise<ReadonlyMap<Digest, readonly Descriptor[]>> {
  const found = new Map<Digest, Descriptor[]>();
  for (const { descriptor } of images.filter(({ name }) => name === undefined)) {
    const stored = await readLayoutManifest(directory, descriptor);
    const referrer = stored && asReferrer(stored.raw, stored.manifest);
    if (referrer === undefined) continue;
    const others = found.get(referrer.subject);
    if (others === undefined) found.set(referrer.subject, [referrer.descriptor]);
    else others.push(referrer.descriptor);
  }
  return found;
}

/**
 * The index of what refers to a manifest, with further entries.
 * @returns undefined where it has them all.
 * @throws ImgcopyError ERR_REFERRERS_TAG where the name of the index is that of something else, which is not replaced.
 */
export async function withReferrers(
  layout: ListedLayout,
  subject: Digest,
  referrers: readonly Referrer[],
): Promise<RawManifest | undefined> {
  const held = await readReferrersIndex(layout, subject);
  if (held !== undefined && parseReferrersIndex(held) === undefined) {
    throw new ImgcopyError(`the name ${referrersTag(subject)} is that of something else than an index of referrers`, {
      code: 'ERR_REFERRERS_TAG',
      side: 'destination',
      hint: 'copy to another layout, or without --referrers',
    });
  }
  const bytes = addReferrers(
    held,
    referrers.map(({ descriptor }) => descriptor),
  );
  return bytes === held ? undefined : { bytes, mediaType: MediaType.ociIndex, digest: digestOf(bytes) };
}

async function readReferrersIndex({ directory, images }: ListedLayout, subject: Digest): Promise<Buffer | undefined> {
  const image = images.find(({ name }) => name === referrersTag(subject));
  return image && (await readLayoutManifest(directory, image.descriptor))?.raw.bytes;
}
