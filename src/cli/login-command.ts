import { text } from 'node:stream/consumers';
import { printable, ImgcopyError, login, logout } from '../index.ts';
import { logRequest } from './debug-log.ts';
import { patienceOf, type EndpointFlags, type PatienceFlags } from './endpoint-flags.ts';
import { ask, askSecret, canAsk } from './prompt.ts';
import { within } from './time-limit.ts';

/** What commander makes of the options of login and logout. */
export interface LoginFlags
  extends
    Pick<EndpointFlags, 'username' | 'password' | 'authfile' | 'tlsVerify' | 'plainHttp' | 'certDir'>,
    PatienceFlags {
  readonly passwordStdin?: boolean;
  readonly caFile?: string;
}

/** imgcopy login REGISTRY */
export async function runLogin(registry: string, flags: LoginFlags, signal: AbortSignal): Promise<void> {
  const user = await readUser(flags, signal);
  const { authfile, tlsVerify, plainHttp, certDir, caFile } = flags;
  const result = await within(flags, signal, (limited) =>
    login(registry, user, {
      ...patienceOf(flags),
      endpoint: { authFile: authfile, tlsVerify, plainHttp, certDir, caFile },
      signal: limited,
      onWarning: warn,
      ...(flags.debug && { onRequest: logRequest }),
    }),
  );
  if (!result.checked) warn(`${result.registry} does not require a login; the password was not checked`);
  say(`logged in to ${result.registry} as ${user.username}; the credentials are in ${result.storedIn}`);
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
  const username = flags.username ?? (await asked('a user name', '--username', () => ask('User name: ', signal)));
  if (flags.passwordStdin) return { username, password: (await text(process.stdin)).replace(/\r?\n$/, '') };
  const password =
    flags.password ?? (await asked('a password', '--password-stdin', () => askSecret('Password: ', signal)));
  return { username, password };
}

async function asked(what: string, option: string, question: () => Promise<string>): Promise<string> {
  const answer = canAsk() ? await question() : '';
  if (answer !== '') return answer;
  throw new ImgcopyError(`login needs ${what}`, { code: 'ERR_USAGE', kind: 'usage', hint: `give it with ${option}` });
}

function warn(message: string): void {
  say(`warning: ${message}`);
}

function say(message: string): void {
  process.stderr.write(`${printable(message)}\n`);
}
