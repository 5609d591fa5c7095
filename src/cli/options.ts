import { Option, type Command } from 'commander';
import {
  parseBoolean,
  parseByteRate,
  parseCount,
  parseDuration,
  parsePositive,
  parsePositiveDuration,
} from './option-values.ts';

/** What a choice of sides is called in help: the prefix of the option's name, and whom it is for. */
export interface OptionSide {
  readonly prefix: '' | 'src-' | 'dest-';
  readonly name: string;
}

/** For commands that deal with one registry. */
export const ONE_REGISTRY: readonly OptionSide[] = [{ prefix: '', name: 'the registry' }];

/** For commands that deal with two. */
export const BOTH_SIDES: readonly OptionSide[] = [
  { prefix: '', name: 'both sides' },
  { prefix: 'src-', name: 'the source' },
  { prefix: 'dest-', name: 'the destination' },
];

/** Gives options to a command, under a heading of its help, and each a variable: IMGCOPY_ and its name in capitals. */
export function addOptions(command: Command, heading: string, options: readonly Option[]): Command {
  for (const option of options) command.addOption(withVariable(option.helpGroup(heading)));
  return command;
}

/** Who one is to a registry. */
export function credentialOptions(sides: readonly OptionSide[]): readonly Option[] {
  return [
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}creds <user[:pass]>`, `credentials for ${name}`)),
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}username <user>`, `user name for ${name}`)),
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}password <password>`, `password for ${name}`)),
    new Option('--password-stdin', 'read the password from standard input'),
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}registry-token <token>`, `bearer token for ${name}`)),
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}no-creds`, `use no credentials for ${name}`)),
    ...authFileOptions(sides),
  ];
}

export function authFileOptions(sides: readonly OptionSide[]): readonly Option[] {
  return sides.map(({ prefix, name }) =>
    new Option(`--${prefix}authfile <file>`, `the file with the credentials for ${name}`).default(
      undefined,
      'the files of docker and podman',
    ),
  );
}

/** Whether registries are reached by TLS, and what is trusted. */
export function tlsOptions(sides: readonly OptionSide[]): readonly Option[] {
  return [
    ...sides.map(({ prefix, name }) =>
      new Option(`--${prefix}tls-verify <bool>`, `check the certificates of ${name}; false also allows http`)
        .default(undefined, 'true')
        .argParser(parseBoolean),
    ),
    ...sides.map(({ prefix, name }) => new Option(`--${prefix}plain-http`, `use http, not https, for ${name}`)),
    ...sides.map(
      ({ prefix, name }) =>
        new Option(
          `--${prefix}cert-dir <dir>`,
          `directory with CA (*.crt) and client (*.cert, *.key) certificates for ${name}`,
        ),
    ),
    ...sides.map(
      ({ prefix, name }) => new Option(`--${prefix}ca-file <file>`, `extra CA certificates for ${name} (PEM file)`),
    ),
  ];
}

/** Where else images may be read, as this machine is set up. */
export function registriesOptions(): readonly Option[] {
  return [
    new Option('--no-registries-conf', "do not read podman's registries.conf (mirrors, blocked registries)"),
    new Option('--hosts-dir <dir>', "containerd's certs.d (HOST/hosts.toml), in place of registries.conf"),
  ];
}

/** How long, and how often. */
export function patienceOptions(): readonly Option[] {
  return [
    new Option('--retry-times <n>', 'retries per request or blob; waiting for a rate limit does not count')
      .default(undefined, '5')
      .argParser(parseCount),
    new Option('--retry-delay <duration>', 'delay before the first retry; doubles each time')
      .default(undefined, '500ms')
      .argParser(parseDuration),
    new Option('--timeout <duration>', 'idle time after which a transfer counts as stalled')
      .default(undefined, '60s')
      .argParser(parsePositiveDuration),
    new Option('--command-timeout <duration>', 'time limit for the whole run')
      .default(undefined, 'no limit')
      .argParser(parsePositiveDuration),
  ];
}

export function jobsOption(description: string): Option {
  return new Option('-j, --jobs <n>', description).default(undefined, '16').argParser(parsePositive);
}

export function limitRateOption(description: string): Option {
  return new Option('--limit-rate <bytes>', description).default(undefined, 'no limit').argParser(parseByteRate);
}

export function debugOption(): Option {
  return new Option('--debug', 'print every request (secrets left out), and stack traces');
}

/** The variable that an option can be set by; its name as on the command line, without dashes before it. */
export function variableOf(option: string): string {
  return `IMGCOPY_${option.toUpperCase().replaceAll('-', '_')}`;
}

function withVariable(option: Option): Option {
  const variable = variableOf(option.name());
  // Commander takes any value of a flag's variable for a yes. One that is empty is not set.
  const value = process.env[variable];
  const isFlag = !option.required && !option.optional;
  const isUnset = value === '' || (isFlag && /^(?:0|no|false)$/i.test(value ?? ''));
  return isUnset ? option : option.env(variable);
}
