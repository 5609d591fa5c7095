import { readFileSync } from 'node:fs';

/** What the process needs for itself: its own pipes, the cache, locks. */
const RESERVED = 32;
/** Who shares the rest: source, destination, the storage that they redirect to, and files. */
const SHARERS = 4;
/** With fewer, nothing moves. */
const LEAST = 2;

/** How many files or connections each user of them may have open at once. Connections that are kept open count as well, so a limit that is met is met for long. */
export function shareOfOpenFiles(): number {
  return Math.max(LEAST, Math.floor((openFilesLimit() - RESERVED) / SHARERS));
}

/** How many files this process may have open; infinite where the system does not tell. Node.js has raised it as far as it may. */
function openFilesLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}
