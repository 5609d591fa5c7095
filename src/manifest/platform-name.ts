import { arch as machineArch, endianness, platform as machineOs } from 'node:os';
import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';
import type { Platform } from './descriptor.ts';

/** A text that should be a platform and is none. */
export class InvalidPlatformError extends ImgcopyError {
  constructor(text: string) {
    super(`invalid platform ${quote(text)}: expected OS/ARCH[/VARIANT][:OSVERSION] or local`, {
      code: 'ERR_INVALID_PLATFORM',
      kind: 'usage',
      hint: 'for example linux/amd64, linux/arm/v7 or windows/amd64:10.0.20348',
    });
  }
}

/**
 * Reads `OS/ARCH[/VARIANT][:OSVERSION]`, or `local` for this machine's.
 *
 * @throws InvalidPlatformError
 */
export function parsePlatform(text: string): Platform {
  if (text === 'local') return localPlatform();
  const match = /^([\w.-]+)\/([\w.-]+)(?:\/([\w.-]+))?(?::([\w.-]+))?$/.exec(text.toLowerCase());
  if (match === null) throw new InvalidPlatformError(text);
  const [, os = '', architecture = '', variant, osVersion] = match;
  return { os, architecture, ...(variant && { variant }), ...(osVersion && { osVersion }) };
}

/** `OS/ARCH[/VARIANT][:OSVERSION]`. */
export function formatPlatform({ os, architecture, variant, osVersion }: Platform): string {
  const name = [os || 'unknown', architecture || 'unknown', ...(variant ? [variant] : [])].join('/');
  return osVersion ? `${name}:${osVersion}` : name;
}

/** The platform whose images run here. On macOS that is Linux: containers run in a virtual machine. */
export function localPlatform(): Platform {
  const os = machineOs();
  const arch = machineArch();
  if (arch === 'arm') return { os: CONTAINER_OS[os] ?? os, architecture: 'arm', variant: 'v7' };
  const suffix = arch === 'ppc64' && endianness() === 'LE' ? 'le' : '';
  return { os: CONTAINER_OS[os] ?? os, architecture: `${ARCHITECTURES[arch] ?? arch}${suffix}` };
}

const CONTAINER_OS: Readonly<Record<string, string>> = { darwin: 'linux', win32: 'windows' };

// Go's names, which images use, where Node.js has others.
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };
