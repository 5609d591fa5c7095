import { printable, printableJson, type CopyEvent, type TagOutcome } from '../../index.ts';
import { count, formatBytes, formatDuration } from '../format.ts';
import type { ProgressMode, ProgressOptions } from './progress.ts';

/** Between two lines that say how far the copies are, in ms. */
const INTERVAL_MS = 5_000;
/** A wait that is worth a line, in ms. */
const LONG_WAIT_MS = 2_000;

type TagEvent = CopyEvent & { readonly tag: string };

/** Shows the copies of many tags, on stderr: nothing of it grows with their number. */
export interface TagsProgress extends Disposable {
  readonly show: (event: TagEvent) => void;
  readonly warn: (message: string) => void;
  readonly done: (outcome: TagOutcome) => void;
  /** All have ended. */
  readonly finish: () => void;
}

export function openTagsProgress(mode: ProgressMode, options: Pick<ProgressOptions, 'verbose'>): TagsProgress {
  if (mode === 'none') return SILENT;
  return mode === 'json' ? jsonProgress() : plainProgress(options);
}

const nothing = (): void => undefined;
const SILENT: TagsProgress = {
  show: nothing,
  warn: nothing,
  done: nothing,
  finish: nothing,
  [Symbol.dispose]: nothing,
};

function jsonProgress(): TagsProgress {
  const say = (event: object): void => void process.stderr.write(`${printableJson(event)}\n`);
  return {
    ...SILENT,
    // Of many images, the bytes of each blob are too much.
    show: (event) => event.type !== 'blob-progress' && say(event),
    warn: (message) => say({ type: 'warning', message }),
  };
}

function plainProgress({ verbose }: Pick<ProgressOptions, 'verbose'>): TagsProgress {
  const started = performance.now();
  const counts = { copied: 0, same: 0, gone: 0, failed: 0 };
  let bytes = 0;
  const say = (line: string): void => void process.stderr.write(`${printable(line)}\n`);
  const summary = (): string => {
    const parts = [
      `${counts.copied} copied`,
      `${counts.same} already there`,
      ...(counts.gone === 0 ? [] : [`${counts.gone} gone`]),
      ...(counts.failed === 0 ? [] : [`${counts.failed} failed`]),
    ];
    const tags = counts.copied + counts.same + counts.gone + counts.failed;
    return `${count(tags, 'tag')}: ${parts.join(', ')}; ${formatBytes(bytes)} downloaded`;
  };
  const heartbeat = setInterval(() => say(summary()), INTERVAL_MS);
  heartbeat.unref();
  return {
    show: (event) => {
      if (event.type === 'blob-done') bytes += event.bytesFetched;
      else if (event.type === 'warning') say(`${event.tag}: warning: ${event.message}`);
      else if (event.type === 'retry' && (verbose || event.delayMs >= LONG_WAIT_MS))
        say(`${event.tag}: ${event.side}: ${event.why}; retrying in ${formatDuration(event.delayMs)}`);
    },
    warn: (message) => verbose && say(`warning: ${message}`),
    done: (outcome) => {
      if (outcome.status !== 'copied') counts[outcome.status] += 1;
      else counts[outcome.result.skipped === null ? 'copied' : 'same'] += 1;
    },
    finish: () => say(`${summary()} in ${formatDuration(performance.now() - started)}`),
    [Symbol.dispose]: () => clearInterval(heartbeat),
  };
}
