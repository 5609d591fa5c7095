import { openJsonProgress } from './json-progress.ts';
import { openPlainProgress } from './plain-progress.ts';
import type { Progress, ProgressMode, ProgressOptions } from './progress.ts';

/** On a terminal lines that are redrawn; elsewhere, and under CI, plain ones. */
export async function openProgress(mode: ProgressMode, options: ProgressOptions): Promise<Progress> {
  const chosen = mode === 'auto' ? automatic(options) : mode;
  if (chosen === 'none')
    return { show: () => undefined, warn: () => undefined, finish: () => undefined, stop: () => undefined };
  if (chosen === 'json') return openJsonProgress();
  // What is no terminal, or does not know its width (and ora would count endless lines), cannot be drawn over.
  const isDrawable = process.stderr.isTTY && process.stderr.columns > 0;
  if (chosen === 'plain' || !isDrawable) return openPlainProgress(options);
  const { openTerminalProgress } = await import('./terminal-progress.ts');
  return openTerminalProgress(options);
}

function automatic({ debug }: ProgressOptions): 'tty' | 'plain' {
  const { CI = '', TERM } = process.env;
  const isCi = !/^(?:|0|false)$/i.test(CI);
  return process.stderr.isTTY && !isCi && TERM !== 'dumb' && !debug ? 'tty' : 'plain';
}
