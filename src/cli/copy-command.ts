import { writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import {
  copyImage,
  ImgcopyError,
  type CopyResult,
  type EndpointOptions,
  type PartialMode,
  type Platform,
} from '../index.ts';
import { logRequest } from './debug-log.ts';
import { openProgress, type ProgressMode } from './progress.ts';

type Prefixed<Prefix extends string, Flags> = {
  readonly [Name in keyof Flags & string as `${Prefix}${Capitalize<Name>}`]?: Flags[Name];
};

interface EndpointFlags {
  /** False with --no-creds. */
  readonly creds?: string | false;
  readonly username?: string;
  readonly password?: string;
  readonly registryToken?: string;
  readonly authfile?: string;
  readonly tlsVerify?: boolean;
  readonly plainHttp?: boolean;
  readonly certDir?: string;
  readonly noCreds?: boolean;
}

/** What commander makes of the options of copy. */
export interface CopyFlags extends EndpointFlags, Prefixed<'src', EndpointFlags>, Prefixed<'dest', EndpointFlags> {
  readonly platform?: readonly Platform[];
  readonly sparse?: boolean;
  /** False with --no-clobber. */
  readonly clobber: boolean;
  readonly force?: boolean;
  readonly additionalTag?: readonly string[];
  readonly removeSignatures?: boolean;
  readonly jobs: number;
  readonly partial: PartialMode;
  readonly retryTimes: number;
  readonly retryDelay?: number;
  readonly timeout?: number;
  readonly commandTimeout?: number;
  /** False with --no-cache. */
  readonly cache: boolean;
  readonly passwordStdin?: boolean;
  readonly caFile?: string;
  readonly digestfile?: string;
  readonly json?: boolean;
  readonly progress: ProgressMode;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly debug?: boolean;
}

/** imgcopy SRC DST: flags to options, one call, and what is printed of its result. */
export async function runCopy(
  source: string,
  destination: string,
  flags: CopyFlags,
  signal: AbortSignal,
): Promise<void> {
  const password = flags.passwordStdin ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined;
  const progress = await openProgress(flags.quiet ? 'none' : flags.progress, { verbose: flags.verbose ?? false });
  const timeouts = flags.commandTimeout === undefined ? [] : [AbortSignal.timeout(flags.commandTimeout)];
  let result: CopyResult;
  try {
    result = await copyImage(source, destination, {
      source: endpointOf(flags, 'src', password),
      destination: endpointOf(flags, 'dest', password),
      platforms: flags.platform,
      sparse: flags.sparse,
      noClobber: !flags.clobber,
      force: flags.force,
      additionalTags: flags.additionalTag,
      removeSignatures: flags.removeSignatures,
      partial: flags.partial,
      jobs: flags.jobs,
      retryTimes: flags.retryTimes,
      retryDelayMs: flags.retryDelay,
      timeoutMs: flags.timeout,
      cache: flags.cache,
      signal: AbortSignal.any([signal, ...timeouts]),
      onEvent: progress.show,
      onWarning: progress.warn,
      ...(flags.debug && { onRequest: logRequest }),
    });
  } catch (error) {
    progress.stop();
    if (timeouts[0]?.aborted && !signal.aborted) throw commandTimeout(flags.commandTimeout ?? 0, error);
    throw error;
  }
  progress.finish(result);
  if (flags.digestfile !== undefined) await writeFile(flags.digestfile, `${result.digest}\n`);
  process.stdout.write(flags.json ? `${JSON.stringify(toJson(result))}\n` : `${result.reference}\n`);
}

function endpointOf(flags: CopyFlags, side: 'src' | 'dest', stdin: string | undefined): EndpointOptions {
  const own = <Name extends keyof EndpointFlags>(name: Name): EndpointFlags[Name] => {
    const prefixed = `${side}${name.charAt(0).toUpperCase()}${name.slice(1)}` as keyof CopyFlags;
    return flags[prefixed] as EndpointFlags[Name];
  };
  const either = <Name extends keyof EndpointFlags>(name: Name): EndpointFlags[Name] => own(name) ?? flags[name];
  // A user name for one side goes before credentials for both.
  const creds = own('creds') ?? (own('username') === undefined ? flags.creds : undefined);
  const [username, ...password] = creds ? creds.split(':') : [];
  return {
    username: username ?? either('username'),
    password: (password.length > 0 ? password.join(':') : undefined) ?? either('password') ?? stdin,
    registryToken: either('registryToken'),
    noCreds: flags.creds === false || either('noCreds'),
    authFile: either('authfile'),
    tlsVerify: either('tlsVerify'),
    plainHttp: either('plainHttp'),
    certDir: either('certDir'),
    caFile: flags.caFile,
  };
}

function commandTimeout(ms: number, cause: unknown): ImgcopyError {
  return new ImgcopyError(`the copy took longer than ${ms / 1000} s`, {
    code: 'ERR_COMMAND_TIMEOUT',
    cause,
    hint: 'run it again to go on, or allow more by --command-timeout',
  });
}

function toJson({ reference: _reference, ...result }: CopyResult): object {
  return result;
}
