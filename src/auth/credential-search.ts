import type { Credentials } from './credentials.ts';

/** What came of looking for credentials. What it says of them is for messages, and holds no secret. */
export interface CredentialSearch {
  /** Undefined: the registry is asked anonymously. */
  readonly credentials?: Credentials | undefined;
  /** The option, variable, file or helper that they came from; where there are none, the option that forbids them. */
  readonly from?: string | undefined;
  /** Whether the user gave them for this run. Default false: they were stored before. */
  readonly isGiven?: boolean | undefined;
  /** The auth files that were read, and have none for this registry. */
  readonly searched: readonly string[];
  /** What stood in the way of finding some: a helper that failed, a file that cannot be read. */
  readonly problems: readonly string[];
}

/** A search that waits until a registry wants credentials. */
export interface CredentialLookUp {
  /** Called once, and again where it failed. */
  readonly find: () => Promise<CredentialSearch>;
  /** Whether there are some, as far as can be told without starting a helper. */
  readonly areAtHand: () => Promise<boolean>;
}

/** How a client comes by its credentials. */
export type CredentialSource = CredentialSearch | CredentialLookUp;

export const NO_CREDENTIALS: CredentialSearch = { searched: [], problems: [] };
