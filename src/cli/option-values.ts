import { InvalidArgumentError } from 'commander';
import { isDigest, parsePlatform, type Digest, type Platform } from '../index.ts';

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, '': 1000 };
/** Timers hold no more. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/** `90s`, `5m`, `1h30m`, `500ms`; a bare number is seconds. In ms. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|)/g)];
  const ms = parts.reduce((sum, [, amount = '0', unit = '']) => sum + Number(amount) * (UNITS_MS[unit] ?? 0), 0);
  if (text === '' || parts.map(([part]) => part).join('') !== text || ms > MAX_DURATION_MS) {
    throw new InvalidArgumentError('Expected a duration such as 90s, 5m or 500ms.');
  }
  return ms;
}

/** A duration that is not nothing. In ms. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === 0) throw new InvalidArgumentError('Expected a duration greater than 0.');
  return ms;
}

/** `512K`, `10M`, `1.5G`, as curl takes them: K, M and G are powers of 1024. A bare number is bytes. */
export function parseByteRate(text: string): number {
  const bytes = bytesIn(text);
  if (bytes === undefined || bytes < 1) {
    throw new InvalidArgumentError('Expected bytes a second such as 10M, 512K or 100000.');
  }
  return bytes;
}

/** A size, which may be 0, with units as above. */
export function parseBytes(text: string): number {
  const bytes = bytesIn(text);
  if (bytes === undefined) throw new InvalidArgumentError('Expected bytes such as 500M, 2G, 100000 or 0.');
  return bytes;
}

function bytesIn(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d{1,15}(?:\.\d{1,6})?)([kmg]?)$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(amount) * 1024 ** ' KMG'.indexOf(unit.toUpperCase() || ' '));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** What a tag has to be at. */
export function parseDigestOrNone(text: string): Digest | 'none' {
  if (text === 'none' || isDigest(text)) return text;
  throw new InvalidArgumentError('Expected a digest, sha256: and 64 lower-case hex digits, or none.');
}

export function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}

export function parsePositive(text: string): number {
  const count = parseCount(text);
  if (count === 0) throw new InvalidArgumentError('Expected a whole number of at least 1.');
  return count;
}

export function parseBoolean(text: string): boolean {
  if (/^(true|t|1|yes)$/i.test(text)) return true;
  if (/^(false|f|0|no)$/i.test(text)) return false;
  throw new InvalidArgumentError('Expected true or false.');
}

/** Platforms separated by commas, added to those given before. */
export function collectPlatforms(text: string, previous: readonly Platform[] | undefined): readonly Platform[] {
  return [
    ...(previous ?? []),
    ...withOurVersions(text)
      .split(',')
      .map((part) => parsePlatform(part.trim())),
  ];
}

export function parseOnePlatform(text: string): Platform {
  return parsePlatform(withOurVersions(text).trim());
}

/** regctl writes `windows/amd64,osver=10.0.20348` for our `windows/amd64:10.0.20348`. */
function withOurVersions(text: string): string {
  return text.replaceAll(',osver=', ':');
}

export function collect(text: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), text];
}
