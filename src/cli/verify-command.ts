import {
  formatPlatform,
  ImgcopyError,
  parseImageName,
  printable,
  printableJson,
  verifyImage,
  type EndpointOptions,
  type ImageFault,
  type ImageName,
  type Platform,
  type Transport,
  type VerifyResult,
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
import { count, formatBytes, forTerminal } from './format.ts';
import { withTimeLimit } from './time-limit.ts';

/** What commander makes of the options of verify. */
export interface VerifyFlags extends BothEndpointsFlags, PatienceFlags, RegistriesFlags {
  readonly platform?: Platform;
  readonly deep?: boolean;
  readonly referrers?: boolean;
  readonly referrersType?: readonly string[];
  readonly sameAs?: string;
  readonly jobs?: number;
  /** In bytes a second. */
  readonly limitRate?: number;
  readonly json?: boolean;
}

/** imgcopy verify REF */
export async function runVerify(
  reference: string,
  flags: VerifyFlags,
  { signal, transports }: CommandContext,
): Promise<void> {
  const { sameAs } = flags;
  refuseSharedInput(sameAs === undefined ? [reference] : [reference, sameAs], flags, transports);
  const endpoint = await endpointOf(flags, signal);
  const result = await withTimeLimit(flags, signal, (limited) =>
    verifyImage(reference, {
      ...patienceOf(flags),
      ...registriesOf(flags),
      endpoint,
      platform: flags.platform,
      deep: flags.deep,
      referrers: flags.referrers,
      referrerTypes: flags.referrersType,
      sameAs,
      sameAsEndpoint: sameAs === undefined ? undefined : endpointFor(sameAs, reference, endpoint, transports),
      jobs: flags.jobs,
      limitRate: flags.limitRate,
      cache: false,
      signal: limited,
      transports,
      onWarning: (message) => process.stderr.write(`warning: ${printable(message)}\n`),
      ...(flags.debug && { onRequest: logRequest }),
    }),
  );
  const lines = flags.json ? [printableJson(result)] : linesOf(result, transports);
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  if (result.faults.length > 0) throw failureOf(result, transports);
}

/** The secrets of one registry are not for another. */
function endpointFor(
  sameAs: string,
  reference: string,
  endpoint: EndpointOptions,
  transports: readonly Transport[],
): EndpointOptions {
  const [one, other] = [sameAs, reference].map((text) => registryOf(parseImageName(text, transports)));
  if (one === other) return endpoint;
  const { authFile, noCreds, tlsVerify, plainHttp, caFile } = endpoint;
  return { authFile, noCreds, tlsVerify, plainHttp, caFile };
}

function registryOf(name: ImageName): string {
  return /^[^/]*\/\/[^/]*/.exec(String(name))?.[0] ?? String(name);
}

function linesOf(result: VerifyResult, transports: readonly Transport[]): readonly string[] {
  if (result.faults.length > 0) return result.faults.map(lineOf);
  const { reference, digest, isHashed, bytes, referrers, foreign, sameAs } = result;
  const parts = [
    `${count(result.manifests, 'manifest')} and ${count(result.blobs, 'blob')}, ${formatBytes(bytes)}`,
    isHashed ? 'all match their digests' : 'all are there with their sizes',
    ...(referrers === undefined ? [] : [count(referrers, 'referrer')]),
    ...(foreign === 0 ? [] : [`${count(foreign, 'layer')} kept elsewhere, at foreign URLs`]),
    ...(sameAs === undefined ? [] : [`the same as ${sameAs.reference}`]),
  ];
  return [`${forTerminal(parseImageName(reference, transports).pinned(digest))}: ${parts.map(printable).join('; ')}`];
}

function lineOf({ kind, part, digest, namedBy, platform, tag, message }: ImageFault): string {
  const where = [
    ...(tag === undefined ? [] : [`tag ${tag}`]),
    ...(namedBy === undefined ? [] : [`of ${namedBy}`]),
    ...(platform === undefined ? [] : [`(${formatPlatform(platform)})`]),
  ];
  return printable(`${[kind, part, digest, ...where].join(' ')}: ${message}`);
}

function failureOf({ reference, faults, sameAs }: VerifyResult, transports: readonly Transport[]): ImgcopyError {
  const isDifferent = faults.some(({ kind }) => kind === 'different');
  if (isDifferent && faults.length === 1) {
    return new ImgcopyError(`${reference} is not the same image as ${sameAs?.reference}`, {
      code: 'ERR_NOT_THE_SAME',
      kind: 'integrity',
    });
  }
  return new ImgcopyError(`${reference} is not whole: ${count(faults.length, 'fault')}`, {
    code: 'ERR_NOT_WHOLE',
    kind: 'integrity',
    hint: parseImageName(reference, transports).mayLeaveOut
      ? 'write the archive again; one that was written with --since lacks layers: import it, and verify what it was imported to'
      : 'copy the image there again with --force, which checks every blob',
  });
}
