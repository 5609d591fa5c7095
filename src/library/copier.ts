import type { RawManifest } from '../contract/blob-info.ts';
import type { ImageDestination } from '../contract/image-destination.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { Digest } from '../digest/digest.ts';
import { copyBetween } from './copy.ts';
import type { CopyPlan, PlanOutcome } from './plan.ts';
import type { Referrer } from '../copy/referrers.ts';
import { describeImage, referrersOf, type ImageDescription } from './inspect-image.ts';
import type {
  CopierOptions,
  CopyOptions,
  CopyResult,
  DestinationOutcome,
  ImageQueryOptions,
  ImageQuestionOptions,
  InspectOptions,
  QueryOptions,
  QuestionOptions,
  ReferrersOptions,
} from './options.ts';
import { askImage, findDigest, listTags as tagsOf } from './questions.ts';
import { SharedResources } from './shared-resources.ts';
import type { CopyTagsOptions, TagOutcome, TagPlan } from './copy-tags.ts';
import type { VerifyOptions, VerifyResult } from './verify.ts';

/**
 * Copies images, and answers questions about them. All its copies and questions share connections, tokens, the cache, and the limits on work in
 * flight. To be disposed of.
 */
export interface Copier extends AsyncDisposable {
  /**
   * Copies one image.
   * @param source  `docker://HOST/NAME[:TAG][@DIGEST]`, a bare name, `dir:PATH`, or whatever else the table of transports has; or an object that is open, which stays open: its owner disposes
   *   of it. So is the destination.
   * @throws ImgcopyError
   */
  copy(
    source: string | ImageSource,
    destination: string | ImageDestination,
    options?: CopyOptions,
  ): Promise<CopyResult>;

  /**
   * Copies one image to several destinations. The source is read once, at the pace of the slowest; one that fails does not stop the others. Events, results and
   * errors name the destination by its `destinationId`: the whole name of it, tag included.
   * @returns what became of each, in the order given.
   * @throws ImgcopyError of kind `usage` where the destinations cannot go together; the signal's reason. Nothing was written then, or not all.
   */
  copy(
    source: string | ImageSource,
    destinations: readonly (string | ImageDestination)[],
    options?: Omit<CopyOptions, 'destinationId'>,
  ): Promise<readonly DestinationOutcome[]>;

  /**
   * Tells what `copy` would do with the same arguments, and does none of it: nothing is written, made or locked, tokens are asked for reading alone.
   * Manifests are read, and of chunked layers their tables of contents.
   * @throws ImgcopyError as `copy` does, as far as that can be known before the first write.
   */
  plan(source: string | ImageSource, destination: string | ImageDestination, options?: CopyOptions): Promise<CopyPlan>;

  /**
   * The same for several destinations, each as the copy to all of them would treat it: what one of them gets, another one on the same registry mounts.
   * @returns the plan for each, or why its copy would fail, in the order given.
   */
  plan(
    source: string | ImageSource,
    destinations: readonly (string | ImageDestination)[],
    options?: Omit<CopyOptions, 'destinationId'>,
  ): Promise<readonly PlanOutcome[]>;

  /**
   * Copies all tags of a repository, or those that are chosen: blobs and manifests once over all tags, some tags at a time. What became of each tag is
   * told as it ends; a tag that fails does not stop the others. Leaving the loop ends what is under way. The tags `sha256-…` that belong to images are left
   * out: with `referrers`, they come with their images.
   * @param source  `docker://HOST[:PORT]/NAME`, a bare name, or `oci:PATH`; so is the destination.
   * @throws ImgcopyError of kind `usage` where one of them is not a repository; of kind `not-found` where there is no such repository, or no tag of it
   *   matches: once all is done.
   */
  copyTags(source: string, destination: string, options?: CopyTagsOptions): AsyncGenerator<TagOutcome>;

  /**
   * Tells what `copyTags` would do with the same arguments, and does none of it. Which of several tags brings a blob that they share may differ; all tags
   * together come to the same.
   * @throws ImgcopyError as `copyTags` does.
   */
  planTags(source: string, destination: string, options?: CopyTagsOptions): AsyncGenerator<TagPlan>;

  /**
   * What an image is made of: its manifests and what these name. No layer is read. The instances of an index on Docker Hub are not read
   * either, for each would count as a pull.
   * @throws ImgcopyError of kind `not-found` where there is no such image.
   */
  inspect(reference: string, options?: InspectOptions): Promise<ImageDescription>;

  /**
   * What refers to an image and to its instances (signatures, attestations, SBOMs), what refers to that, and so on: what comes along with
   * `copy(…, { referrers: true })`. Lists are believed: what they name need not be there.
   * @throws ImgcopyError of kind `not-found` where there is no such image.
   */
  referrers(reference: string, options?: ReferrersOptions): Promise<readonly Referrer[]>;

  /**
   * Whether an image is whole: every manifest is there with its digest, every blob with its size, or with `deep` with its digest. What is missing or wrong
   * is told in the result, not thrown.
   * @throws ImgcopyError of kind `not-found` where there is no such image, or none to compare it with; of kind `integrity` where its own manifest is not
   *   what it should be.
   */
  verify(reference: string, options?: VerifyOptions): Promise<VerifyResult>;

  /**
   * The tags of a repository, a page at a time, in the registry's order.
   * @param repository  `docker://HOST[:PORT]/NAME`, or a bare name.
   * @throws ImgcopyError of kind `not-found` where there is no such repository.
   */
  tags(repository: string, options?: QuestionOptions): AsyncGenerator<string>;

  /**
   * The digest of an image, by a HEAD where that will do.
   * @throws ImgcopyError of kind `not-found` where there is no such image.
   */
  digest(reference: string, options?: ImageQuestionOptions): Promise<Digest>;

  /**
   * The manifest of an image, its bytes as they are stored.
   * @throws ImgcopyError of kind `not-found` where there is no such image.
   */
  manifest(reference: string, options?: ImageQuestionOptions): Promise<RawManifest>;
}

/** Makes a copier: to copy many images with one set of connections, tokens and limits. */
export function createCopier(options: CopierOptions = {}): Copier {
  const shared = new SharedResources(options);
  function copy(from: string | ImageSource, to: string | ImageDestination, given?: CopyOptions): Promise<CopyResult>;
  function copy(
    from: string | ImageSource,
    to: Destinations,
    given?: CopyOptions,
  ): Promise<readonly DestinationOutcome[]>;
  async function copy(
    from: string | ImageSource,
    to: string | ImageDestination | Destinations,
    copyOptions: CopyOptions = {},
  ): Promise<CopyResult | readonly DestinationOutcome[]> {
    if (!isList(to)) return copyBetween(shared, from, to, copyOptions);
    const { copyToSeveral } = await import('./copy-several.ts');
    return copyToSeveral(shared, from, to, copyOptions);
  }
  function plan(from: string | ImageSource, to: string | ImageDestination, given?: CopyOptions): Promise<CopyPlan>;
  function plan(from: string | ImageSource, to: Destinations, given?: CopyOptions): Promise<readonly PlanOutcome[]>;
  async function plan(
    from: string | ImageSource,
    to: string | ImageDestination | Destinations,
    planOptions: CopyOptions = {},
  ): Promise<CopyPlan | readonly PlanOutcome[]> {
    const { planBetween, planForSeveral } = await import('./plan.ts');
    if (!isList(to)) return planBetween(shared, from, to, planOptions);
    return planForSeveral(shared, from, to, planOptions);
  }
  return {
    copy,
    plan,
    async *planTags(source, destination, copyOptions = {}) {
      const tags = await import('./copy-tags.ts');
      yield* tags.planTags(shared, source, destination, copyOptions);
    },
    async *copyTags(source, destination, copyOptions = {}) {
      const tags = await import('./copy-tags.ts');
      yield* tags.copyTags(shared, source, destination, copyOptions);
    },
    inspect: (reference, asked = {}) =>
      askImage(shared, reference, asked, (image) => describeImage(image, { withReferrers: asked.referrers ?? false })),
    referrers: (reference, asked = {}) => askImage(shared, reference, asked, (image) => referrersOf(image, asked)),
    verify: async (reference, asked = {}) => (await import('./verify.ts')).verify(shared, reference, asked),
    tags: (repository, asked = {}) => tagsOf(shared, repository, asked),
    digest: (reference, asked = {}) => findDigest(shared, reference, asked),
    manifest: (reference, asked = {}) =>
      askImage(shared, reference, asked, ({ manifest }) => Promise.resolve(manifest)),
    [Symbol.asyncDispose]: () => shared[Symbol.asyncDispose](),
  };
}

/** Copies one image, with a copier of its own. See Copier.copy. */
export async function copyImage(
  source: string | ImageSource,
  destination: string | ImageDestination,
  options?: CopyOptions & CopierOptions,
): Promise<CopyResult>;
export async function copyImage(
  source: string | ImageSource,
  destinations: Destinations,
  options?: Omit<CopyOptions, 'destinationId'> & CopierOptions,
): Promise<readonly DestinationOutcome[]>;
export async function copyImage(
  source: string | ImageSource,
  to: string | ImageDestination | Destinations,
  options: CopyOptions & CopierOptions = {},
): Promise<CopyResult | readonly DestinationOutcome[]> {
  await using copier = createCopier(options);
  return isList(to) ? await copier.copy(source, to, options) : await copier.copy(source, to, options);
}

type Destinations = readonly (string | ImageDestination)[];

function isList(to: string | ImageDestination | Destinations): to is Destinations {
  return Array.isArray(to);
}

/** Plans one copy, with a copier of its own. See Copier.plan. */
export async function planCopy(
  source: string | ImageSource,
  destination: string | ImageDestination,
  options?: CopyOptions & CopierOptions,
): Promise<CopyPlan>;
export async function planCopy(
  source: string | ImageSource,
  destinations: Destinations,
  options?: Omit<CopyOptions, 'destinationId'> & CopierOptions,
): Promise<readonly PlanOutcome[]>;
export async function planCopy(
  source: string | ImageSource,
  to: string | ImageDestination | Destinations,
  options: CopyOptions & CopierOptions = {},
): Promise<CopyPlan | readonly PlanOutcome[]> {
  await using copier = createCopier(options);
  return isList(to) ? await copier.plan(source, to, options) : await copier.plan(source, to, options);
}

/** Plans a copy of the tags of one repository, with a copier of its own. See Copier.planTags. */
export async function* planTags(
  source: string,
  destination: string,
  options: CopyTagsOptions & CopierOptions = {},
): AsyncGenerator<TagPlan> {
  await using copier = createCopier(options);
  yield* copier.planTags(source, destination, options);
}

/** Copies the tags of one repository, with a copier of its own. See Copier.copyTags. */
export async function* copyTags(
  source: string,
  destination: string,
  options: CopyTagsOptions & CopierOptions = {},
): AsyncGenerator<TagOutcome> {
  await using copier = createCopier(options);
  yield* copier.copyTags(source, destination, options);
}

/** Inspects one image, with a copier of its own. See Copier.inspect. */
export async function inspectImage(
  reference: string,
  options: InspectOptions & CopierOptions = {},
): Promise<ImageDescription> {
  await using copier = createCopier(options);
  return await copier.inspect(reference, options);
}

/** Lists what refers to one image, with a copier of its own. See Copier.referrers. */
export async function listReferrers(
  reference: string,
  options: ReferrersOptions & CopierOptions = {},
): Promise<readonly Referrer[]> {
  await using copier = createCopier(options);
  return await copier.referrers(reference, options);
}

/** Looks whether one image is whole, with a copier of its own. See Copier.verify. */
export async function verifyImage(
  reference: string,
  options: VerifyOptions & CopierOptions = {},
): Promise<VerifyResult> {
  await using copier = createCopier(options);
  return await copier.verify(reference, options);
}

/** Lists the tags of one repository, with a copier of its own. See Copier.tags. */
export async function* listTags(repository: string, options: QueryOptions = {}): AsyncGenerator<string> {
  await using copier = createCopier(options);
  yield* copier.tags(repository, options);
}

/** Finds the digest of one image, with a copier of its own. See Copier.digest. */
export async function getImageDigest(reference: string, options: ImageQueryOptions = {}): Promise<Digest> {
  await using copier = createCopier(options);
  return await copier.digest(reference, options);
}

/** Reads the manifest of one image, with a copier of its own. See Copier.manifest. */
export async function getImageManifest(reference: string, options: ImageQueryOptions = {}): Promise<RawManifest> {
  await using copier = createCopier(options);
  return await copier.manifest(reference, options);
}
