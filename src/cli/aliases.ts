/** Names that people bring along from other copiers, and what they are here. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^--from-/, '--src-'],
  [/^--to-/, '--dest-'],
  [/^--registry-config(?==|$)/, '--authfile'],
  [/^--concurrency(?==|$)/, '--jobs'],
  [/^--image-parallel-copies(?==|$)/, '--jobs'],
  [/^--(src-|dest-|)insecure$/, '--$1tls-verify=false'],
  [/^--(src-|dest-|)tls-verify$/, '--$1tls-verify=true'],
];

/** Accepted and without effect: imgcopy has no trust policy, and copies all platforms unless told otherwise. */
const IGNORED: ReadonlySet<string> = new Set(['--insecure-policy']);
const IGNORED_WITH_VALUE: ReadonlySet<string> = new Set(['--policy']);

/**
 * The arguments with other copiers' names replaced by ours.
 * @param argv  what the user typed.
 */
export function withoutAliases(argv: readonly string[]): string[] {
  const result: string[] = [];
  const override: { os?: string; arch?: string; variant?: string } = {};
  for (let i = 0; i < argv.length; i += 1) {
    const argument = argv[i] ?? '';
    if (argument === '--') return [...result, ...argv.slice(i)];
    const [name, inline] = split(argument);
    const overridden = /^--override-(os|arch|variant)$/.exec(name)?.[1];
    if (overridden !== undefined) {
      override[overridden as keyof typeof override] = inline ?? argv[(i += 1)] ?? '';
    } else if (name === '--multi-arch') {
      const value = inline ?? argv[(i += 1)];
      if (value === 'system') result.push('--platform=local');
    } else if (IGNORED_WITH_VALUE.has(name)) {
      if (inline === undefined) i += 1;
    } else if (!IGNORED.has(argument)) {
      const known = NAMES.find(([pattern]) => pattern.test(argument));
      result.push(known === undefined ? argument : argument.replace(known[0], known[1]));
    }
  }
  if (override.os ?? override.arch) {
    const platform = [override.os ?? 'linux', override.arch ?? 'amd64', override.variant].filter(
      (part) => part !== undefined,
    );
    result.unshift(`--platform=${platform.join('/')}`);
  }
  return result;
}

function split(argument: string): readonly [string, string | undefined] {
  const equals = argument.indexOf('=');
  return equals === -1 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}
