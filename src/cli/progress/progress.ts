import type { CopyEvent, CopyResult } from '../../index.ts';

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'github' | 'none';

/** Shows a copy while it runs, on stderr. */
export interface Progress {
  readonly show: (event: CopyEvent) => void;
  /** Something that is not essential. */
  readonly warn: (message: string) => void;
  /** The copy to the destination, or to one of several, succeeded. */
  readonly finish: (result: CopyResult) => void;
  /** The copy failed, or that to one of several destinations. What is drawn is removed; the error itself is reported elsewhere. */
  readonly fail: (error: unknown, destinationId?: string) => void;
}

export interface ProgressOptions {
  readonly verbose: boolean;
  /** Other lines are printed in between, so nothing can be redrawn. */
  readonly debug: boolean;
}
