import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { homeDirectory } from '../io/home-directory.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from '../retry/attempts.ts';
import { MemoryBudget } from '../io/memory.ts';
import { shareOfOpenFiles } from '../io/open-files.ts';
import { Semaphore } from '../io/semaphore.ts';
import type { CopierOptions } from './options.ts';
import type { RegistryAccess } from '../transports/registry/registry-access.ts';
import { transports } from '../transports/table.ts';
import type { Transport } from '../transports/transport.ts';
import type { UploadState } from '../cache/upload-state.ts';
import type { RegistryConfiguration } from '../registries/configured-endpoint.ts';
import type { BlobInfoCache } from '../contract/blob-info-cache.ts';
import { VERSION } from './version.ts';

const DEFAULT_JOBS = 16;
/** In bytes a second. */
const DEFAULT_MIN_RATE = 1024;
export const DEFAULT_TIMEOUT_MS = 60_000;
/** Requests of a kind in flight to a host, to begin with. */
const REQUESTS_PER_HOST = 16;
/** Bodies that all copies together hold in memory, in bytes. */
const MEMORY_BUDGET = 24 * 1024 * 1024;

/**
 * What the copies of one copier have in common: connections, tokens, the cache, and the limits on work in flight. Each is opened when it is
 * first wanted. To be disposed of.
 */
export class SharedResources implements AsyncDisposable {
  readonly options: CopierOptions;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly transports: readonly Transport[];
  readonly policy: RetryPolicy;
  readonly pool: Semaphore;
  readonly memory: MemoryBudget = new MemoryBudget(MEMORY_BUDGET);
  #access: Promise<RegistryAccess> | undefined;
  #cache: Promise<BlobInfoCache> | undefined;
  #openedCache: BlobInfoCache | undefined;
  #uploadState: Promise<UploadState> | undefined;
  #cacheToRead: Promise<BlobInfoCache> | undefined;
  #uploadStateToRead: Promise<UploadState> | undefined;
  #registries: Promise<RegistryConfiguration> | undefined;

  constructor(options: CopierOptions) {
    const { limitRate } = options;
    if (limitRate !== undefined && !(limitRate > 0)) {
      throw new ImgcopyError(`invalid limitRate ${limitRate}: expected more than 0 bytes a second`, {
        code: 'ERR_USAGE',
        kind: 'usage',
      });
    }
    const { minRate } = options;
    if (minRate !== undefined && !(minRate >= 0)) {
      throw new ImgcopyError(`invalid minRate ${minRate}: expected 0 or more bytes a second`, {
        code: 'ERR_USAGE',
        kind: 'usage',
      });
    }
    this.options = options;
    this.env = options.env ?? process.env;
    this.transports = options.transports ?? transports;
    this.pool = new Semaphore(Math.min(options.jobs ?? DEFAULT_JOBS, shareOfOpenFiles()));
    const { retries, delayMs } = DEFAULT_RETRY_POLICY;
    this.policy = {
      ...DEFAULT_RETRY_POLICY,
      retries: options.retryTimes ?? retries,
      delayMs: options.retryDelayMs ?? delayMs,
    };
  }

  readonly access = (): Promise<RegistryAccess> => (this.#access ??= this.#openAccess());

  cache(): Promise<BlobInfoCache> {
    return (this.#cache ??= this.#openCache());
  }

  /** The cache for questions alone: none is made, and none is written to. */
  cacheToRead(): Promise<BlobInfoCache> {
    return this.#cache ?? (this.#cacheToRead ??= this.#readCache());
  }

  /** The cache, once something has opened it. */
  readonly openedCache = (): BlobInfoCache | undefined => this.#openedCache;

  /** Read once. */
  readonly registries = (): Promise<RegistryConfiguration> => (this.#registries ??= this.#readRegistries());

  readonly warn = (message: string): void => this.options.onWarning?.(message);

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      (await opened(this.#cache))?.[Symbol.dispose]();
      (await opened(this.#cacheToRead))?.[Symbol.dispose]();
      (await opened(this.#uploadState))?.[Symbol.dispose]();
      (await opened(this.#uploadStateToRead))?.[Symbol.dispose]();
    } finally {
      await (await opened(this.#access))?.[Symbol.asyncDispose]();
    }
  }

  async #openAccess(): Promise<RegistryAccess> {
    const { RegistryAccess } = await import('../transports/registry/registry-access.ts');
    return new RegistryAccess({
      policy: this.policy,
      failsFast: this.options.retryTimes === undefined,
      idleTimeoutMs: this.options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      requestsPerHost: REQUESTS_PER_HOST,
      jobs: this.options.jobs ?? DEFAULT_JOBS,
      limitRate: this.options.limitRate,
      minRate: this.options.minRate ?? DEFAULT_MIN_RATE,
      env: this.env,
      homeDir: homeDirectory(),
      onWarning: this.warn,
      userAgent: `imgcopy/${VERSION}`,
      uploadState: () => (this.#uploadState ??= this.#openUploadState({ readOnly: false })),
      uploadStateToRead: () =>
        this.#uploadState ?? (this.#uploadStateToRead ??= this.#openUploadState({ readOnly: true })),
    });
  }

  async #readRegistries(): Promise<RegistryConfiguration> {
    const { hostsDir, registriesConf = true } = this.options;
    if (hostsDir !== undefined) {
      const { HostsDirectory } = await import('../registries/hosts-directory.ts');
      return new HostsDirectory(hostsDir);
    }
    if (!registriesConf) return (await import('../registries/configured-endpoint.ts')).NO_CONFIGURATION;
    const { readRegistriesConf } = await import('../registries/find-registries-conf.ts');
    return readRegistriesConf({ env: this.env, homeDir: homeDirectory(), onWarning: this.warn });
  }

  async #openUploadState({ readOnly }: { readonly readOnly: boolean }): Promise<UploadState> {
    const { openUploadState } = await import('../cache/upload-state.ts');
    return openUploadState({ env: this.env, homeDir: homeDirectory(), onWarning: this.warn, readOnly });
  }

  async #openCache(): Promise<BlobInfoCache> {
    if (this.options.cache === false) return (await import('../cache/no-cache.ts')).noCache();
    const { openBlobInfoCache } = await import('../cache/sqlite-cache.ts');
    this.#openedCache = await openBlobInfoCache({ env: this.env, homeDir: homeDirectory(), onWarning: this.warn });
    return this.#openedCache;
  }

  async #readCache(): Promise<BlobInfoCache> {
    if (this.options.cache === false) return (await import('../cache/no-cache.ts')).noCache();
    const { readBlobInfoCache } = await import('../cache/sqlite-cache.ts');
    return readBlobInfoCache({ env: this.env, homeDir: homeDirectory(), onWarning: this.warn });
  }
}

/** What failed to open has told whoever wanted it, and there is nothing of it to close. */
async function opened<T>(opening: Promise<T> | undefined): Promise<T | undefined> {
  return await opening?.catch(() => undefined);
}
