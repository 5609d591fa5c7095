import type { Actions } from '../registry/faults.ts';
import type { Refusal, RegistryOptions } from '../registry/options.ts';

/** How a hosted registry answers, as far as a copy meets it. What it does is in `options`, what users see of it in the other members. */
export interface HostedShape {
  /** As docs/registries.md calls it. */
  readonly name: string;
  readonly options: RegistryOptions;
  /** A repository of the user's, and a second one to mount into. */
  readonly repository: string;
  readonly second: string;
  /** One that the user may neither read nor write. Undefined where everybody may read everything. */
  readonly forbidden?: string | undefined;
  /** Undefined: nobody can push there. */
  readonly user?: { readonly username: string; readonly password: string } | undefined;
  /** The exit status for an image that is not there: its tag alone, or its whole repository, for the user and for others. */
  readonly missing: { readonly tag: 3 | 4; readonly repository: 3 | 4; readonly anonymous: 3 | 4 };
  /** Whether it refuses what does not exist, and imgcopy knows that of its name. */
  readonly hidesMissing?: true | undefined;
  /** Whether reading a manifest counts as a pull, and asking for its digest does not. */
  readonly metersPulls?: true | undefined;
  /** Whether a blob is taken over from another repository. */
  readonly mounts: boolean;
  /** The answer to a tag that is there, where tags can be made immutable. */
  readonly immutableTag?: Refusal | undefined;
  /** The answer to too many requests. */
  readonly rateLimit: Actions;
}

/** The code of the specification for a rate limit, with the registry's own words. */
export function tooManyRequests(message: string, headers: Readonly<Record<string, string>> = {}): Actions {
  const body = JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message }] });
  return { status: 429, headers: { 'content-type': 'application/json', ...headers }, body };
}

/**
 * Who may do what, where repositories begin with the name of who owns them.
 * @param owned  what the user's repositories begin with.
 * @param open  what the repositories begin with that everybody may pull from.
 */
export function grantTo(
  owned: string,
  open: string = 'no repository',
): (user: string | undefined, repository: string, action: string, exists: boolean) => boolean {
  return (user, repository, action, exists) =>
    (user !== undefined && repository.startsWith(owned)) ||
    (action === 'pull' && exists && repository.startsWith(open));
}
