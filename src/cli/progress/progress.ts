import type { CopyEvent, CopyResult } from '../../index.ts';

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'none';

/** Shows a copy while it runs, on stderr. */
export interface Progress {
  readonly show: (event: CopyEvent) => void;
  /** Something that is not essential. */
  readonly warn: (message: string) => void;
  /** The copy has ended well. */
  readonly finish: (result: CopyResult) => void;
  /** The copy has failed; what is drawn is taken away. */
  readonly stop: () => void;
}

export interface ProgressOptions {
  readonly verbose: boolean;
  /** Lines of other kinds are printed in between, so that nothing can be redrawn. */
  readonly debug: boolean;
}
