import { InvalidArgumentError } from 'commander';
import { parsePlatform, type Platform } from '../index.ts';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, '': 1000 };

/** `90s`, `5m`, `1h30m`, `500ms`; a bare number is seconds. In ms. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|)/g)];
  if (text === '' || parts.map(([part]) => part).join('') !== text) {
    throw new InvalidArgumentError('expected a duration such as 90s, 5m or 500ms.');
  }
  return parts.reduce((sum, [, amount = '0', unit = '']) => sum + Number(amount) * (UNITS_MS[unit] ?? 0), 0);
}

export function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('expected a whole number.');
  return Number(text);
}

export function parsePositive(text: string): number {
  const count = parseCount(text);
  if (count === 0) throw new InvalidArgumentError('expected a number from 1 on.');
  return count;
}

export function parseBoolean(text: string): boolean {
  if (/^(true|1|yes)$/i.test(text)) return true;
  if (/^(false|0|no)$/i.test(text)) return false;
  throw new InvalidArgumentError('expected true or false.');
}

/** Platforms separated by commas, added to those given before. */
export function collectPlatforms(text: string, previous: readonly Platform[] | undefined): readonly Platform[] {
  return [...(previous ?? []), ...text.split(',').map((part) => parsePlatform(part.trim()))];
}

export function collect(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), text];
}

/** A size for people: `131 MB`, `4.2 kB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** A duration for people: `0.8 s`, `1 min 20 s`. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}
