import type { ServerOptions } from 'node:https';

/** How a request for several ranges is answered; `multipart` is what RFC 9110 wants, the others are what servers do. */
export type MultiRangeAnswer =
  | 'multipart'
  /** 200 with the whole blob, as object stores do. */
  | 'full'
  /** 206 with the first range alone. */
  | 'first-only'
  /** Ranges with nothing between them come as one part. */
  | 'coalesce'
  /** The parts come last first. */
  | 'reorder'
  | 'quoted-boundary'
  /** A boundary with a colon, without the quotes that it needs (CloudFront). */
  | 'unquoted-colon-boundary'
  /** Text before the first boundary. */
  | 'preamble'
  /** multipart/byteranges without a boundary parameter. */
  | 'no-boundary'
  | 'missing-part'
  /** A part more than asked. */
  | 'extra-part'
  /** The Content-Range of the last part names other bytes. */
  | 'wrong-part-range'
  /** The last part ends before its Content-Range does. */
  | 'short-part'
  | 400
  | 416
  | 501;

/** How `POST ?mount=` is answered. */
export type MountAnswer = 'spec' | 'always-202' | 400 | 401 | 405 | 500 | /** 201 although nothing is mounted. */ 'lie';

/** Where an upload Location leads. */
export type LocationForm =
  | 'relative'
  | 'absolute'
  /** With a `_state` that names the session's offset; one that is out of date is refused, as distribution does. */
  | 'with-query'
  /** The same, with the registry's origin. */
  | 'absolute-with-query'
  /** On the storage origin, which refuses credentials. */
  | 'other-origin';

/** Refuses bodies above a size with 413, before reading them where Content-Length tells. */
export interface BodyLimit {
  readonly maxBytes: number;
}

/** An answer that says no. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message?: string | undefined;
}

/** What may be missing. `repository` goes before the others where nothing was put into it. */
export type MissingThing = 'repository' | 'manifest' | 'blob';

/** Names that a registry and its storage are known by, instead of their addresses: clients reach them through `TestRegistry.proxyUrl`. */
export interface PublicNames {
  /** As in references. */
  readonly reference: string;
  /** The API's host. Default: `reference`. */
  readonly registry?: string | undefined;
  readonly storage: string;
}

/** What a test registry does; may be changed while it runs, through `registry.settings`. */
export interface RegistrySettings {
  /** False: the Range header is ignored. */
  ranges: boolean;
  multiRange: MultiRangeAnswer;
  mount: MountAnswer;
  /** How a mount from a repository that is not there is answered. Default: as one whose blob is not there. */
  mountFromUnknown: number | undefined;
  /** Taken, refused with a status, or limited. */
  patch: 'ok' | number | BodyLimit;
  /** PUT with a body: taken, refused with a status (`refuse`: 405), or limited. */
  monolithic: 'ok' | 'refuse' | number | BodyLimit;
  /** Whether a session keeps the bytes of a request that was cut (distribution v3), or is forgotten (2.8). */
  keepCutSessions: boolean;
  locations: LocationForm;
  /** Sent as OCI-Chunk-Min-Length; chunks below it, but the last, are refused. */
  chunkMinLength: number | undefined;
  /** What precedes `/v2/` in the paths of upload Locations. */
  uploadPrefix: string;
  /** Of the answer to a PATCH. */
  patchStatus: 201 | 202;
  /** Whether the Range of an answer to a PATCH stays behind what has come. */
  staleRange: boolean;
  /** Whether an upload may have more than one PATCH. */
  severalPatches: boolean;
  /** The most bytes of a PATCH that has a Content-Range; more are refused with 416. */
  maxRangedPatch: number | undefined;
  /** Blob GETs are sent on with 307 to a second origin, which answers an Authorization header with 400; `single-use` URLs work once. */
  redirectBlobs: boolean | 'single-use';
  /** Whether every GET and HEAD is sent on to the second origin, which answers it there. */
  redirectsAll: boolean;
  /** Part of the query of redirects and upload Locations; a request that does not bring it byte for byte is refused with 403. */
  signature: string | undefined;
  /** Whether a HEAD of a manifest names its digest. */
  headDigestHeader: boolean;
  /** Whether a manifest is refused when a blob or an instance that it names is missing. */
  checkBlobs: boolean;
  /** Whether an index may name instances that are missing. */
  sparseIndex: boolean;
  /** Whether the Accept header is obeyed: a manifest of another type is MANIFEST_UNKNOWN then. */
  checkAccept: boolean;
  /** Whether a tag that exists can be written again, even with the manifest that it has. ECR refuses it with 400 TAG_INVALID. */
  immutableTags: boolean | Refusal;
  /** Whether If-Match and If-None-Match of a manifest's PUT count: 412 where they do not hold. Few registries read them. */
  conditionalPuts: boolean;
  /** How a GET or HEAD is answered for what is not there. Default: as the specification has it. */
  missing: Partial<Record<MissingThing, Refusal>>;
  /** Whether a repository is there only after `TestRegistry.create`: a push to any other is refused as a missing repository. */
  repositoriesPreexist: boolean;
  /** Larger manifests are refused with 413, in bytes. */
  maxManifestBytes: number;
  /** Whether a PUT of a manifest by digest writes the tags in its query, and names them in OCI-Tag. */
  tagsAtOnce: boolean;
  /** Whether a session hashes by sha256 unless it was opened with `digest-algorithm`: only an empty one can change that, as in olareg. */
  needsDigestAlgorithm: boolean;
  /** Whether there is a referrers API. */
  referrers: boolean;
  /** How many referrers a page of it lists. */
  referrersPage: number;
  /** Whether it lists only the artifact type that is asked for. */
  referrersFilter: boolean;
  /** Bodies of answers are written in packets of this many bytes. */
  packetBytes: number;
  /**
   * Whether upload sessions may be open when the registry is closed, for tests that open them themselves or kill who did. Else only those may
   * that are long enough to be left to a later run.
   */
  leavesSessions: boolean;
}

export interface AuthOptions {
  readonly kind: 'basic' | 'bearer';
  /** Without a username nobody is asked for a password, and everybody may do everything, with a token. */
  readonly username?: string;
  readonly password?: string;
  /** Whether pulling needs no credentials. */
  readonly anonymousPull?: boolean;
  /** Default 300. */
  readonly expiresInSeconds?: number;
  /** The identity token that `POST /token` takes for the user's password. */
  readonly refreshToken?: string;
  /** False: a POST to the token server is answered with 404; or with this status. Default true. */
  readonly oauth2?: boolean | 405;
  /** The URL of the token server. Default: `/token` of the registry. */
  readonly realm?: string;
  /** Whether the answer says when the token expires. Default true. */
  readonly tellsExpiry?: boolean;
  /** How the token server answers who may do nothing of what is asked for. Default: with a token that is good for nothing. */
  readonly withoutAccess?: 401 | 403;
  /** The challenge to a token that lacks a scope. Default `bearer`. */
  readonly lackingChallenge?: 'bearer' | 'basic' | 'none';
  /** How Basic credentials without the right are refused. Default: 403 DENIED. */
  readonly forbidden?: Refusal;
  /** The name of the token in the answer to GET. Default `token`. */
  readonly tokenField?: 'token' | 'access_token' | 'both';
  /** What the token server makes of several scopes in one request: grants all, only the first, or refuses with 403. Default `all`. */
  readonly severalScopes?: 'all' | 'first' | 'refuse';
  /** What a user may do; `exists` says whether the repository is there. Default: everything. */
  readonly grant?: (user: string | undefined, repository: string, action: string, exists: boolean) => boolean;
}

export interface RegistryOptions extends Partial<RegistrySettings> {
  /** Serves https. */
  readonly tls?: Pick<ServerOptions, 'key' | 'cert' | 'ca' | 'requestCert' | 'rejectUnauthorized'>;
  readonly auth?: AuthOptions;
  readonly names?: PublicNames;
}

export const defaultSettings: Readonly<RegistrySettings> = {
  leavesSessions: false,
  ranges: true,
  multiRange: 'multipart',
  mount: 'spec',
  mountFromUnknown: undefined,
  patch: 'ok',
  monolithic: 'ok',
  keepCutSessions: true,
  locations: 'relative',
  chunkMinLength: undefined,
  uploadPrefix: '',
  patchStatus: 202,
  staleRange: false,
  severalPatches: true,
  maxRangedPatch: undefined,
  redirectBlobs: false,
  redirectsAll: false,
  signature: undefined,
  headDigestHeader: true,
  checkBlobs: true,
  sparseIndex: false,
  checkAccept: true,
  immutableTags: false,
  conditionalPuts: false,
  missing: {},
  repositoriesPreexist: false,
  maxManifestBytes: 4 * 1024 * 1024,
  tagsAtOnce: false,
  needsDigestAlgorithm: false,
  referrers: true,
  referrersPage: Infinity,
  referrersFilter: true,
  packetBytes: 64 * 1024,
};
