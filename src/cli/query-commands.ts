import { once } from 'node:events';
import {
  escapeUnprintable,
  getImageDigest,
  getImageManifest,
  inspectImage,
  listReferrers,
  listTags,
  printable,
  printableJson,
  type ImageQueryOptions,
  type Platform,
} from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { logRequest } from './debug-log.ts';
import { refuseSharedInput } from './standard-input.ts';
import {
  endpointOf,
  patienceOf,
  registriesOf,
  type BothEndpointsFlags,
  type PatienceFlags,
  type RegistriesFlags,
} from './endpoint-flags.ts';
import { drawImage, drawReferrers } from './inspect-tree.ts';
import { withTimeLimit } from './time-limit.ts';

/** What commander makes of the options of tags and digest. */
export interface QueryFlags extends BothEndpointsFlags, PatienceFlags, RegistriesFlags {
  readonly platform?: Platform;
}

export interface InspectFlags extends QueryFlags {
  readonly raw?: boolean;
  readonly referrers?: boolean;
  readonly json?: boolean;
}

export interface ReferrersFlags extends QueryFlags {
  readonly referrersType?: readonly string[];
  readonly json?: boolean;
}

/** imgcopy tags REPOSITORY: each page is printed as it comes. */
export async function runTags(repository: string, flags: QueryFlags, context: CommandContext): Promise<void> {
  await query(repository, flags, context, async (options) => {
    let page = '';
    for await (const tag of listTags(repository, options)) {
      page += `${printable(tag)}\n`;
      if (page.length < 16_384) continue;
      await print(page);
      page = '';
      if (!process.stdout.writable) return;
    }
    await print(page);
  });
}

/** imgcopy digest REF */
export async function runDigest(reference: string, flags: QueryFlags, context: CommandContext): Promise<void> {
  await query(reference, flags, context, async (options) => print(`${await getImageDigest(reference, options)}\n`));
}

/** imgcopy inspect REF */
export async function runInspect(reference: string, flags: InspectFlags, context: CommandContext): Promise<void> {
  await query(reference, flags, context, async (options) => {
    if (flags.raw) {
      const { bytes } = await getImageManifest(reference, options);
      await print(process.stdout.isTTY ? escapeUnprintable(bytes.toString('utf8')) : bytes);
      return;
    }
    const image = await inspectImage(reference, { ...options, referrers: flags.referrers });
    await print(flags.json ? `${printableJson(image)}\n` : `${drawImage(image, columns()).join('\n')}\n`);
  });
}

/** imgcopy referrers REF */
export async function runReferrers(reference: string, flags: ReferrersFlags, context: CommandContext): Promise<void> {
  await query(reference, flags, context, async (options) => {
    const referrers = await listReferrers(reference, { ...options, types: flags.referrersType });
    if (flags.json) return print(`${printableJson({ reference, referrers })}\n`);
    const lines = process.stdout.isTTY
      ? drawReferrers(reference, referrers, columns())
      : referrers.map(({ descriptor, type, subject }) => printable(`${descriptor.digest} ${type || '-'} ${subject}`));
    await print(lines.map((line) => `${line}\n`).join(''));
  });
}

/** Of the terminal, where there is one. */
function columns(): number | undefined {
  return (process.stdout.isTTY && process.stdout.columns) || undefined;
}

async function query(
  reference: string,
  flags: QueryFlags,
  { signal, transports }: CommandContext,
  ask: (options: ImageQueryOptions) => Promise<void>,
): Promise<void> {
  refuseSharedInput([reference], flags, transports);
  const endpoint = await endpointOf(flags, signal);
  await withTimeLimit(flags, signal, (limited) =>
    ask({
      ...patienceOf(flags),
      ...registriesOf(flags),
      endpoint,
      platform: flags.platform,
      signal: limited,
      transports,
      onWarning: (message) => process.stderr.write(`warning: ${printable(message)}\n`),
      ...(flags.debug && { onRequest: logRequest }),
    }),
  );
}

/** Waits for a slow reader, so that what is printed does not pile up; that a reader has gone is not an error. */
async function print(content: string | Buffer): Promise<void> {
  if (process.stdout.write(content)) return;
  try {
    await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
  }
}
