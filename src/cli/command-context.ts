import type { Transport } from '../index.ts';

/** What every command that touches images is run with. */
export interface CommandContext {
  readonly signal: AbortSignal;
  /** What references may name. */
  readonly transports: readonly Transport[];
  /** The folder of the installed program. Undefined where it runs from its sources. */
  readonly installed?: string | undefined;
}
