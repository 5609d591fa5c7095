import { printable } from '../index.ts';

/** A size for people: `131 MB`, `4.2 kB`. @param bytes  not negative. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, bytes < 999.5 ? 0 : Math.floor(Math.log10(bytes * 1.0005) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** A duration for people: `0.8 s`, `1 min 20 s`, `2 h 5 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** How long something will still take, for people: whole seconds up to a minute, then whole minutes. */
export function formatTimeLeft(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `1 blob`, `3 blobs`. */
export function count(number: number, noun: string, plural: string = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** The beginning of a digest, enough to tell it from its neighbours. */
export function shortDigest(digest: string): string {
  return digest.replace(/^(?:sha256|sha512):/, '').slice(0, 12);
}

/** A name for standard output: on a terminal without what could steer it, and exact where a program reads it. */
export function forTerminal(text: string): string {
  return process.stdout.isTTY ? printable(text) : text;
}
