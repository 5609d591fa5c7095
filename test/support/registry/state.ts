import type { RegistrySettings } from './options.ts';
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
