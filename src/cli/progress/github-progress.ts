import { printable, ImgcopyError, type CopyResult } from '../../index.ts';
import { openPlainProgress } from './plain-progress.ts';
import type { Progress, ProgressOptions } from './progress.ts';

/**
 * Plain lines in a group that GitHub Actions folds. A failure ends with an annotation.
 * @see https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */
export function openGithubProgress(options: Pick<ProgressOptions, 'verbose'>): Progress {
  const lines = openPlainProgress(options);
  let isOpen = false;
  const close = (): void => {
    if (isOpen) command('endgroup', '');
    isOpen = false;
  };
  return {
    show: (event) => {
      if (event.type === 'started' && !isOpen) {
        const to = event.destinationId === undefined ? event.destination : 'several destinations';
        command('group', `imgcopy ${event.source} ${to}`);
        isOpen = true;
      }
      lines.show(event);
    },
    warn: lines.warn,
    finish: (result: CopyResult) => {
      close();
      lines.finish(result);
    },
    fail: (error) => {
      lines.fail(error);
      close();
      command('error', annotationOf(error));
    },
  };
}

function annotationOf(error: unknown): string {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error && messages.length < 10; cause = cause.cause) {
    const { message } = cause;
    if (!messages.some((earlier) => earlier.includes(message))) messages.push(message);
  }
  const hint = error instanceof ImgcopyError && error.hint !== undefined ? [`hint: ${error.hint}`] : [];
  return ['imgcopy:', messages.length === 0 ? String(error) : messages.join(': '), ...hint].join(' ');
}

/** What would end a command's line early is encoded. */
function command(name: string, text: string): void {
  const encoded = text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  process.stderr.write(`::${name}::${printable(encoded)}\n`);
}
