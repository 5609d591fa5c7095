/** imgcopy as a library: what the command line does, with typed options, cancellation and events. */
export {
  copyImage,
  copyTags,
  createCopier,
  getImageDigest,
  getImageManifest,
  inspectImage,
  listReferrers,
  listTags,
  verifyImage,
  planCopy,
  planTags,
  type Copier,
} from './library/copier.ts';
export type {
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
} from './library/options.ts';
export type { CopyTagsOptions, TagOutcome, TagPlan } from './library/copy-tags.ts';
export type { TagSelection } from './library/select-tags.ts';
export type { VerifyOptions, VerifyResult } from './library/verify.ts';
export type { ImageFault } from './copy/verify-image.ts';
export type { CopyPlan, PlannedTogether, PlanOutcome } from './library/plan.ts';
export type { PlannedBlob, PlannedManifest } from './copy/dry-run.ts';
export type { EndpointOptions } from './contract/endpoint-options.ts';
export type { Referrer } from './copy/referrers.ts';
export type { PartialMode } from './copy/copy-run.ts';
export type {
  ImageDescription,
  LayerDescription,
  ManifestDescription,
  ReferrerDescription,
} from './library/inspect-image.ts';
export { checkLogin, login, logout, type LoginCheck, type LoginResult, type LogoutResult } from './library/login.ts';
export { cachePath, cacheStats, clearCache, type CacheStats } from './cache/cache-file.ts';
export {
  duringOperation,
  endName,
  ImgcopyError,
  isAbort,
  type CopyEnd,
  type ErrorKind,
  type Side,
} from './errors/imgcopy-error.ts';
export { homeDirectory } from './io/home-directory.ts';
export { escapeUnprintable, printable, printableJson } from './errors/printable.ts';
export { parseCreds } from './auth/credentials.ts';
export { parseImageName, transports } from './transports/table.ts';
export type { ImageName, OwnNames, Transport } from './transports/transport.ts';
export { parsePlatform, formatPlatform } from './manifest/platform.ts';
export type { Descriptor, Platform } from './manifest/descriptor.ts';
export { ContentMismatchError, isDigest, type Digest } from './digest/digest.ts';
export { InvalidReferenceError, UnknownTransportError } from './reference/reference-errors.ts';
export { PlatformNotFoundError } from './manifest/platform.ts';
export type { BlobOutcome, CopyEvent, OnCopyEvent } from './contract/progress.ts';
export type * from './contract/image-source.ts';
export type * from './contract/image-destination.ts';
export type * from './contract/blob-chunk-accessor.ts';
export type * from './contract/blob-info-cache.ts';
export type * from './contract/blob-info.ts';
export {
  BadPartialRequestError,
  BlobAttemptError,
  MissingBlobsError,
  PartialBlobUnavailableError,
} from './contract/errors.ts';
export type { HttpRequest, RequestObserver } from './http/send/send.ts';
export { VERSION } from './library/version.ts';
