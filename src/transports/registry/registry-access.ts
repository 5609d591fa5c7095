import { Authorizer } from '../../auth/authenticate.ts';
import type { CredentialSource } from '../../auth/credential-search.ts';
import { OneAtATime } from '../../io/one-at-a-time.ts';
import { shareOfOpenFiles } from '../../io/open-files.ts';
import type { UploadState } from '../../cache/upload-state.ts';
import type { Side } from '../../errors/imgcopy-error.ts';
import {
  collect,
  compose,
  HostGates,
  limitRate,
  minRate,
  NetworkError,
  openConnections,
  redirect,
  retry,
  Trust,
  type Connections,
  type HttpResponse,
  type Layer,
  type RequestObserver,
  type RetryPolicy,
  type Send,
  type TlsSettings,
} from '../../http/index.ts';
import { apiHost, isLoopbackHost } from '../../reference/registry-host.ts';
import type { WaitOptions } from '../../contract/blob-info.ts';
import { UploadLimits } from './upload/upload-limits.ts';
import { SelfMount } from './self-mount.ts';
import { TagsAtOnce } from './tags-at-once.ts';

/** How a registry is to be reached, and as whom. */
export interface RegistryEndpoint {
  readonly tls?: TlsSettings | undefined;
  /** http, without trying https. Default false. */
  readonly plainHttp?: boolean | undefined;
  /** Default: anonymous. */
  readonly credentials?: CredentialSource | undefined;
}

export interface RegistryAccessOptions {
  readonly policy: RetryPolicy;
  /** Whether a host that cannot be connected to is given up after one retry, as long as it has not answered. Default false. */
  readonly failsFast?: boolean | undefined;
  readonly idleTimeoutMs: number;
  /** Bytes a second that all transfers together may take, each way. Default: no limit. */
  readonly limitRate?: number | undefined;
  /** Bytes a second below which a source counts as stalled, over a minute. Default, and where the rate is limited: not looked at. */
  readonly minRate?: number | undefined;
  /** Replaced in tests; in ms. */
  readonly now?: (() => number) | undefined;
  /** Requests in flight a host. */
  readonly requestsPerHost: number;
  /** Blobs in flight: within one registry, each may hold a connection to read from and one to write to. */
  readonly jobs: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: the user has no home. */
  readonly homeDir?: string | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly userAgent: string;
  /** Opens the file that notes interrupted uploads; called when one is to be noted or looked for. */
  readonly uploadState: () => Promise<UploadState>;
  /** The same for who only looks: no file is made. Default: `uploadState`. */
  readonly uploadStateToRead?: (() => Promise<UploadState>) | undefined;
}

export interface ReachOptions extends RegistryEndpoint, WaitOptions {
  readonly observer?: RequestObserver | undefined;
  readonly side: Side;
  /** What a token is asked for, e.g. `repository:app:pull,push`; the one that matters most comes first. */
  readonly scopes: readonly string[];
}

/** A registry that was reached: its origin, and a way to send to it. */
export interface ReachedRegistry {
  readonly origin: string;
  readonly send: Send;
  /** Sends to other hosts than the registry's: no credentials. */
  readonly sendAnonymous: Send;
}

/** Requests of a kind in flight to a host at most, where it takes them without complaint. With more, handshakes take what they save. */
const MOST_REQUESTS = 32;
/** Connections a host at most, beside two a job. */
const CONNECTIONS = 64;

interface Network {
  readonly connections: Connections;
  readonly send: Send;
  readonly authorizer: Authorizer;
}

/**
 * The way to all registries of a run, shared by all its copies: connections, tokens, and a gate for each host.
 * Layers: authenticate(retry(collect(redirect(throttle(undici))))).
 */
export class RegistryAccess implements AsyncDisposable {
  readonly #options: RegistryAccessOptions;
  readonly #trust: Trust;
  readonly #networks = new Map<string, Network>();
  readonly #origins = new Map<string, Promise<Origin>>();
  readonly #uploadLimits = new Map<string, UploadLimits>();
  readonly #selfMounts = new Map<string, SelfMount>();
  readonly #tagsAtOnce = new Map<string, TagsAtOnce>();
  readonly gates: HostGates;
  readonly #slowDown: readonly Layer[];

  constructor(options: RegistryAccessOptions) {
    this.#options = options;
    this.#trust = new Trust(options);
    this.#slowDown = options.limitRate === undefined ? [] : [limitRate(options.limitRate)];
    this.gates = new HostGates({ limit: options.requestsPerHost, most: MOST_REQUESTS });
  }

  get uploadState(): () => Promise<UploadState> {
    return this.#options.uploadState;
  }

  get uploadStateToRead(): () => Promise<UploadState> {
    return this.#options.uploadStateToRead ?? this.#options.uploadState;
  }

  /** What a registry was seen to refuse in uploads, by its origin. */
  uploadLimits(origin: string): UploadLimits {
    const limits = this.#uploadLimits.get(origin) ?? new UploadLimits();
    this.#uploadLimits.set(origin, limits);
    return limits;
  }

  /** What a registry does with mounts from a repository to itself, by its origin. */
  selfMount(origin: string): SelfMount {
    const selfMount = this.#selfMounts.get(origin) ?? new SelfMount();
    this.#selfMounts.set(origin, selfMount);
    return selfMount;
  }

  /** Whether a registry writes several tags at once, by its origin. */
  tagsAtOnce(origin: string): TagsAtOnce {
    const tagsAtOnce = this.#tagsAtOnce.get(origin) ?? new TagsAtOnce();
    this.#tagsAtOnce.set(origin, tagsAtOnce);
    return tagsAtOnce;
  }

  /** Who writes to referrers tags, one at a time for each. */
  readonly tagWriters: OneAtATime<string> = new OneAtATime();

  get policy(): RetryPolicy {
    return this.#options.policy;
  }

  /** Begins the connection that the first request will have, where it is certain how the registry is reached. */
  async approach(registry: string, endpoint: RegistryEndpoint): Promise<void> {
    const origin = certainOrigin(registry, endpoint);
    if (origin === undefined) return;
    await this.#network(registry, endpoint.tls ?? {}).connections.prepare(new URL(origin));
  }

  /** Finds out how a registry is reached, where that is not certain: loopback hosts, and those whose certificate is not checked. */
  async reach(registry: string, options: ReachOptions): Promise<ReachedRegistry> {
    const { credentials, scopes, observer } = options;
    const network = this.#network(registry, options.tls ?? {});
    const key = JSON.stringify([registry, options.plainHttp ?? false, options.tls?.verify ?? true]);
    const found = this.#origins.get(key) ?? findOrigin(registry, options, network.connections);
    this.#origins.set(key, found);
    // A failure is that of one copy; the next one may find the host up again.
    const { origin, failedTls } = await found.catch((error: unknown) => {
      this.#origins.delete(key);
      throw error;
    });
    const layer = network.authorizer.layer({
      credentials,
      origin,
      scopes,
      onWarning: this.#options.onWarning,
    });
    return {
      origin,
      send: compose(network.send, tellingOf(failedTls, origin), observed(observer), layer),
      sendAnonymous: compose(network.send, observed(observer)),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#networks.values()].map((network) => network.connections[Symbol.asyncDispose]()));
  }

  #network(registry: string, tls: TlsSettings): Network {
    const key = JSON.stringify([registry, tls]);
    const known = this.#networks.get(key);
    if (known !== undefined) return known;
    const { policy, failsFast, idleTimeoutMs, env, userAgent, jobs } = this.#options;
    const connections = openConnections({
      trust: this.#trust.of(registry, tls),
      ownHost: new URL(`https://${apiHost(registry)}`).host,
      idleTimeoutMs,
      env,
      connections: Math.min(CONNECTIONS + 2 * jobs, shareOfOpenFiles()),
    });
    const raw = compose(connections.send, ...this.#minRate(), identify(userAgent), observe, ...this.#slowDown);
    const send = compose(
      raw,
      retry(policy, { failsFast }),
      collect({ timeoutMs: idleTimeoutMs }),
      redirect,
      connections.announce,
      this.gates.throttle,
    );
    const network = { connections, send, authorizer: new Authorizer({ send }) };
    this.#networks.set(key, network);
    return network;
  }

  #minRate(): readonly Layer[] {
    const { limitRate: limit, minRate: least = 0, now } = this.#options;
    return least > 0 && limit === undefined ? [minRate(least, { now })] : [];
  }
}

interface Origin {
  readonly origin: string;
  /** Why it is http, where https was tried. */
  readonly failedTls?: NetworkError;
}

/**
 * https, but for hosts where http may be meant: there https is tried first, as docker (loopback) and skopeo (--tls-verify=false) do. What
 * answers by TLS stays with https, whatever goes wrong with it.
 */
async function findOrigin(registry: string, options: ReachOptions, { speaksTls }: Connections): Promise<Origin> {
  const { side, signal } = options;
  const certain = certainOrigin(registry, options);
  if (certain !== undefined) return { origin: certain };
  const { http, https } = originsOf(registry);
  try {
    const answer = await speaksTls({ method: 'HEAD', url: new URL('/v2/', https), side, signal });
    return answer === true ? { origin: https } : { origin: http, failedTls: answer };
  } catch (error) {
    if (error instanceof NetworkError && error.failure !== 'unresolved') return { origin: http, failedTls: error };
    throw error;
  }
}

/** Undefined where https has to be tried. */
function certainOrigin(registry: string, { plainHttp, tls }: RegistryEndpoint): string | undefined {
  const { http, https } = originsOf(registry);
  if (plainHttp) return http;
  return tls?.verify === false || isLoopbackHost(registry) ? undefined : https;
}

function originsOf(registry: string): { readonly http: string; readonly https: string } {
  const host = apiHost(registry);
  return { http: new URL(`http://${host}`).origin, https: new URL(`https://${host}`).origin };
}

/** Where https was tried before http, an error of http tells of both. */
function tellingOf(failedTls: NetworkError | undefined, origin: string): Layer {
  return (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      const isBoth = failedTls !== undefined && error instanceof NetworkError && error.origin === origin;
      throw isBoth && error.failure !== failedTls.failure ? error.noting(`; by https: ${failedTls.reason}`) : error;
    }
  };
}

function identify(userAgent: string): Layer {
  return (next) => (request) =>
    next({ ...request, headers: { 'user-agent': userAgent, 'accept-encoding': 'identity', ...request.headers } });
}

function observed(observer: RequestObserver | undefined): Layer {
  return (next) => (request) => next({ observer, ...request });
}

/** Tells a request's observer of it, once for each time that it goes out. */
const observe: Layer =
  (next) =>
  async (request): Promise<HttpResponse> => {
    try {
      const response = await next(request);
      request.observer?.onRequest?.(request, { status: response.status });
      return response;
    } catch (error) {
      request.observer?.onRequest?.(request, { error });
      throw error;
    }
  };
