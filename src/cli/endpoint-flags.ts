import { text } from 'node:stream/consumers';
import { ImgcopyError, parseCreds, type CopierOptions, type EndpointOptions } from '../index.ts';
import { variableOf } from './options.ts';
import { askSecret, canAsk } from './prompt.ts';

/** What commander makes of the options of endpoints for one side. */
export interface EndpointFlags {
  /** False with --no-creds. */
  readonly creds?: string | false;
  readonly username?: string;
  readonly password?: string;
  readonly registryToken?: string;
  /** As it is called for one side alone. */
  readonly noCreds?: boolean;
  readonly authfile?: string;
  readonly tlsVerify?: boolean;
  readonly plainHttp?: boolean;
  readonly certDir?: string;
  readonly caFile?: string;
}

type Prefixed<Prefix extends string, Flags> = {
  readonly [Name in keyof Flags & string as `${Prefix}${Capitalize<Name>}`]?: Flags[Name];
};

/** The options of endpoints for both sides, and for each alone. */
export interface BothEndpointsFlags
  extends EndpointFlags, Prefixed<'src', EndpointFlags>, Prefixed<'dest', EndpointFlags> {
  readonly passwordStdin?: boolean;
}

/** Options that all commands have which talk to a registry. */
export interface PatienceFlags {
  readonly retryTimes?: number;
  readonly retryDelay?: number;
  readonly timeout?: number;
  readonly commandTimeout?: number;
  readonly debug?: boolean;
}

/** Options that say which of this machine's configuration of registries counts. */
export interface RegistriesFlags {
  /** False with --no-registries-conf. */
  readonly registriesConf?: boolean;
  readonly hostsDir?: string;
}

export function registriesOf(flags: RegistriesFlags): Pick<CopierOptions, 'registriesConf' | 'hostsDir'> {
  return { registriesConf: flags.registriesConf, hostsDir: flags.hostsDir };
}

export function patienceOf(flags: PatienceFlags): Pick<CopierOptions, 'retryTimes' | 'retryDelayMs' | 'timeoutMs'> {
  return { retryTimes: flags.retryTimes, retryDelayMs: flags.retryDelay, timeoutMs: flags.timeout };
}

/** How the registry of a command that has but one is reached. */
export async function endpointOf(flags: BothEndpointsFlags, signal: AbortSignal): Promise<EndpointOptions> {
  checkUserNames(flags);
  return oneEndpoint(flags, { side: undefined, stdin: await passwordFromStdin(flags), signal });
}

/** How source and destination are reached: what is said of one side alone goes before what is said of both. */
export async function endpointsOf(
  flags: BothEndpointsFlags,
  signal: AbortSignal,
): Promise<{ readonly source: EndpointOptions; readonly destination: EndpointOptions }> {
  checkUserNames(flags);
  const stdin = await passwordFromStdin(flags);
  // One after the other, for each may ask for a password.
  const source = await oneEndpoint(flags, { side: 'src', stdin, signal });
  return { source, destination: await oneEndpoint(flags, { side: 'dest', stdin, signal }) };
}

function checkUserNames(flags: BothEndpointsFlags): void {
  const { username, srcUsername, destUsername, srcPassword, destPassword } = flags;
  const anyUser = username ?? srcUsername ?? destUsername ?? (flags.creds || flags.srcCreds || flags.destCreds);
  const isAlone =
    ((flags.password !== undefined || flags.passwordStdin) && !anyUser) ||
    (srcPassword !== undefined && (srcUsername ?? username) === undefined) ||
    (destPassword !== undefined && (destUsername ?? username) === undefined);
  if (!isAlone) return;
  throw new ImgcopyError('a password was given without a user name', {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'give the user name with --username, or for one side of a copy with --src-username or --dest-username',
  });
}

async function passwordFromStdin({ passwordStdin }: BothEndpointsFlags): Promise<string | undefined> {
  return passwordStdin ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined;
}

interface Side {
  readonly side: 'src' | 'dest' | undefined;
  /** The password that came on standard input. */
  readonly stdin: string | undefined;
  readonly signal: AbortSignal;
}

async function oneEndpoint(flags: BothEndpointsFlags, side: Side): Promise<EndpointOptions> {
  const either = <Name extends keyof EndpointFlags>(name: Name): EndpointFlags[Name] | undefined =>
    own(flags, side, name) ?? flags[name];
  return {
    ...(await userOf(flags, side)),
    credentialsFrom: credentialsFrom(flags, side),
    registryToken: either('registryToken'),
    noCreds: flags.creds === false || either('noCreds'),
    authFile: either('authfile'),
    tlsVerify: either('tlsVerify'),
    plainHttp: either('plainHttp'),
    certDir: either('certDir'),
    caFile: either('caFile'),
  };
}

async function userOf(flags: BothEndpointsFlags, side: Side): Promise<Pick<EndpointOptions, 'username' | 'password'>> {
  const ownUser = own(flags, side, 'username');
  // A user name for one side goes before credentials for both.
  const creds = own(flags, side, 'creds') ?? (ownUser === undefined ? flags.creds : undefined);
  const { username, password } = creds ? userAndPassword(creds) : { username: ownUser ?? flags.username };
  if (username === undefined) return {};
  const given = password ?? own(flags, side, 'password') ?? side.stdin ?? flags.password;
  // Asked for on a terminal; elsewhere a user without a password has an empty one.
  return { username, password: given ?? (canAsk() ? await askSecret(`Password for ${username}: `, side.signal) : '') };
}

/** The option or variable that says which credentials to send, or that none are to be sent. */
function credentialsFrom(flags: BothEndpointsFlags, side: Side): string | undefined {
  const ownPrefix = `--${side.side}-`;
  if (flags.creds === false) return '--no-creds';
  if (own(flags, side, 'noCreds')) return `${ownPrefix}no-creds`;
  const ways: readonly (readonly [option: string, value: string | false | undefined])[] = [
    [`${ownPrefix}registry-token`, own(flags, side, 'registryToken')],
    ['--registry-token', flags.registryToken],
    [`${ownPrefix}creds`, own(flags, side, 'creds')],
    [`${ownPrefix}username`, own(flags, side, 'username')],
    ['--creds', flags.creds],
    ['--username', flags.username],
  ];
  const [option, value] = ways.find(([, given]) => given !== undefined) ?? [];
  const variable = option && variableOf(option.slice(2));
  return variable && process.env[variable] === value ? variable : option;
}

function userAndPassword(creds: string): { readonly username: string; readonly password?: string } {
  const { username, password } = parseCreds(creds);
  return creds.includes(':') ? { username, password } : { username };
}

function own<Name extends keyof EndpointFlags>(
  flags: BothEndpointsFlags,
  { side }: Side,
  name: Name,
): EndpointFlags[Name] | undefined {
  if (side === undefined) return undefined;
  return flags[`${side}${capitalized(name)}`] as EndpointFlags[Name] | undefined;
}

function capitalized<Name extends string>(name: Name): Capitalize<Name> {
  return `${name.charAt(0).toUpperCase()}${name.slice(1)}` as Capitalize<Name>;
}
