import { text } from 'node:stream/consumers';
import {
  checkLogin,
  duringOperation,
  ImgcopyError,
  login,
  logout,
  parseCreds,
  printable,
  printableJson,
  type EndpointOptions,
  type LoginCheck,
} from '../index.ts';
import { logRequest } from './debug-log.ts';
import {
  endpointOf,
  patienceOf,
  registriesOf,
  type EndpointFlags,
  type PatienceFlags,
  type RegistriesFlags,
} from './endpoint-flags.ts';
import { ask, askSecret, canAsk } from './prompt.ts';
import { withTimeLimit } from './time-limit.ts';

/** What commander makes of the options of login and logout. */
export interface LoginFlags extends EndpointFlags, PatienceFlags, RegistriesFlags {
  readonly passwordStdin?: boolean;
  readonly check?: boolean;
  readonly json?: boolean;
}

/** imgcopy login REGISTRY */
export async function runLogin(registry: string, flags: LoginFlags, signal: AbortSignal): Promise<void> {
  if (flags.check) return await runCheck(registry, flags, signal);
  if (flags.json) throw usage('--json goes with --check', 'leave out --json');
  const user = await readUser(flags, signal);
  const result = await withTimeLimit(flags, signal, (limited) => login(registry, user, queryOptions(flags, limited)));
  if (!result.checked) warn(`${result.registry} does not require a login; the password was not checked`);
  say(`logged in to ${result.registry} as ${user.username}; the credentials are in ${result.storedIn}`);
}

/** imgcopy login --check REGISTRY: what would be sent there, and whether the registry takes it. A refusal ends with status 4. */
async function runCheck(registry: string, flags: LoginFlags, signal: AbortSignal): Promise<void> {
  const endpoint = await endpointOf(flags, signal);
  const check = await withTimeLimit(flags, signal, (limited) =>
    checkLogin(registry, queryOptions(flags, limited, endpoint)),
  );
  process.stdout.write(flags.json ? `${printableJson(toJson(check))}\n` : table(check));
  if (check.error !== undefined) throw duringOperation(`checking the credentials for ${registry}`, check.error);
}

function toJson({ registry, credentials, from, searched, problems, answer }: LoginCheck): object {
  return { registry, credentials: credentials ?? null, from: from ?? null, searched, problems, answer };
}

const ANSWERS: Readonly<Record<LoginCheck['answer'], string>> = {
  accepted: 'accepted by the registry',
  anonymous: 'the registry gives access without credentials, though maybe not to every image',
  unchecked: 'the registry asks for no credentials, so they were not checked',
  refused: 'refused by the registry',
};

function table({ registry, credentials, from, searched, answer }: LoginCheck): string {
  const none = searched.length === 0 && from === undefined ? 'none: no auth file found' : 'none';
  const rows = [
    ['registry', registry],
    ['credentials', credentials === undefined ? none : [KINDS[credentials.kind], userOf(credentials)].join('')],
    ...(from === undefined ? [] : [['from', from]]),
    ...(searched.length === 0 ? [] : [['not in', searched.join(', ')]]),
    ['answer', ANSWERS[answer]],
  ] as const;
  return rows.map(([name = '', value = '']) => `${name.padEnd(11)}  ${printable(value)}\n`).join('');
}

type CheckedCredentials = NonNullable<LoginCheck['credentials']>;

const KINDS: Readonly<Record<CheckedCredentials['kind'], string>> = {
  password: 'user name and password',
  'identity-token': 'identity token',
  'registry-token': 'registry token',
};

function userOf({ username }: CheckedCredentials): string {
  return username === undefined || username === '' ? '' : `, user ${username}`;
}

function queryOptions(
  flags: LoginFlags,
  signal: AbortSignal,
  given: EndpointOptions = {},
): NonNullable<Parameters<typeof login>[2]> {
  const { authfile, tlsVerify, plainHttp, certDir, caFile } = flags;
  return {
    ...patienceOf(flags),
    ...registriesOf(flags),
    endpoint: { authFile: authfile, tlsVerify, plainHttp, certDir, caFile, ...given },
    signal,
    onWarning: warn,
    ...(flags.debug && { onRequest: logRequest }),
  };
}

/** imgcopy logout REGISTRY */
export async function runLogout(registry: string, flags: LoginFlags, signal: AbortSignal): Promise<void> {
  const result = await logout(registry, { endpoint: { authFile: flags.authfile }, signal, onWarning: warn });
  say(
    result.removedFrom.length === 0
      ? `not logged in to ${result.registry}`
      : `removed the credentials for ${result.registry} from ${result.removedFrom.join(' and ')}`,
  );
}

async function readUser(
  flags: LoginFlags,
  signal: AbortSignal,
): Promise<{ readonly username: string; readonly password: string }> {
  const creds = flags.creds && flags.username === undefined ? flags.creds : '';
  const given = creds === '' ? undefined : parseCreds(creds);
  const username =
    given?.username ?? flags.username ?? (await asked('a user name', '--username', () => ask('User name: ', signal)));
  if (flags.passwordStdin) return { username, password: (await text(process.stdin)).replace(/\r?\n$/, '') };
  const password =
    (creds.includes(':') ? given?.password : undefined) ??
    flags.password ??
    (await asked('a password', '--password-stdin', () => askSecret('Password: ', signal)));
  return { username, password };
}

async function asked(what: string, option: string, question: () => Promise<string>): Promise<string> {
  const answer = canAsk() ? await question() : '';
  if (answer !== '') return answer;
  throw usage(`login needs ${what}`, `give it with ${option}`);
}

function usage(message: string, hint: string): ImgcopyError {
  return new ImgcopyError(message, { code: 'ERR_USAGE', kind: 'usage', hint });
}

function warn(message: string): void {
  say(`warning: ${message}`);
}

function say(message: string): void {
  process.stderr.write(`${printable(message)}\n`);
}
