import type { Exchange } from './exchange.ts';
import type { MissingThing, Refusal, RegistrySettings } from './options.ts';
import type { Redirects } from './redirects.ts';
import type { RequestRecord } from './request-log.ts';
import type { Store } from './store.ts';
import type { UploadSessions } from './upload-sessions.ts';

/** What the endpoints of a registry share. */
export interface RegistryState {
  readonly settings: RegistrySettings;
  readonly store: Store;
  readonly sessions: UploadSessions;
  readonly redirects: Redirects;
  /** The URL of one of the two origins, without a final slash. */
  readonly urlOf: (server: RequestRecord['server']) => string;
}

const SPECIFIED: Readonly<Record<MissingThing, Refusal>> = {
  repository: { status: 404, code: 'NAME_UNKNOWN', message: 'repository name not known to registry' },
  manifest: { status: 404, code: 'MANIFEST_UNKNOWN' },
  blob: { status: 404, code: 'BLOB_UNKNOWN' },
};

/** How a registry says that a manifest or blob is not there, or the repository that it would be in. */
export function refusalOf({ settings, store }: RegistryState, repository: string, what: MissingThing): Refusal {
  const { missing } = settings;
  const ofRepository = store.find(repository) === undefined ? missing.repository : undefined;
  return ofRepository ?? missing[what] ?? SPECIFIED[what];
}

/** Whether something may be pushed to a repository; if not, that has been answered. */
export async function isPushable(exchange: Exchange, registry: RegistryState, repository: string): Promise<boolean> {
  if (!registry.settings.repositoriesPreexist || registry.store.find(repository) !== undefined) return true;
  const { status, code, message = '' } = refusalOf(registry, repository, 'repository');
  await exchange.fail(status, code, message);
  return false;
}
