import type { Transport } from '../index.ts';

/** What every command that touches images is run with. */
export interface CommandContext {
  readonly signal: AbortSignal;
  /** What references may name. */
  readonly transports: readonly Transport[];
}
