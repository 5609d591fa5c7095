import { openGithubProgress } from './github-progress.ts';
import { openJsonProgress } from './json-progress.ts';
import { openPlainProgress } from './plain-progress.ts';
import type { Progress, ProgressMode, ProgressOptions } from './progress.ts';

const SILENT: Progress = { show: nothing, warn: nothing, finish: nothing, fail: nothing };

/** On a terminal lines that are redrawn; in GitHub Actions a group that can be folded; elsewhere, and under CI, plain lines. */
export async function openProgress(mode: ProgressMode, options: ProgressOptions): Promise<Progress> {
  const chosen = mode === 'auto' ? automatic(options) : mode;
  if (chosen === 'none') return SILENT;
  if (chosen === 'json') return openJsonProgress();
  if (chosen === 'github') return openGithubProgress(options);
  // A stream that is not a terminal, or does not know its width, cannot be drawn over.
  const isDrawable = process.stderr.isTTY && process.stderr.columns > 0;
  if (chosen === 'plain' || !isDrawable) return openPlainProgress(options);
  const { openTerminalProgress } = await import('./terminal-progress.ts');
  return openTerminalProgress(options);
}

function automatic({ debug }: ProgressOptions): ProgressMode {
  const { CI = '', GITHUB_ACTIONS, TERM } = process.env;
  if (GITHUB_ACTIONS === 'true') return 'github';
  const isCi = !/^(?:|0|false)$/i.test(CI);
  return process.stderr.isTTY && !isCi && TERM !== 'dumb' && !debug ? 'tty' : 'plain';
}

function nothing(): void {
  // Nothing is shown.
}
