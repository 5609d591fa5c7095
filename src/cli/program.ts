import { Command, Option } from 'commander';
import { VERSION } from '../index.ts';
import { collect, collectPlatforms, parseBoolean, parseCount, parseDuration, parsePositive } from './values.ts';
import type { CopyFlags } from './copy-command.ts';

/** The command line's definition. What a command does is loaded when it runs. */
export function createProgram(signal: AbortSignal): Command {
  const program = new Command('imgcopy')
    .description(
      'Copies container images between registries and directories, moving as few bytes in as few round trips as it can.',
    )
    .version(VERSION, '-V, --version')
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(imgcopy --help tells more)');
  const copy = addCopyCommand(program, signal);
  program.addHelpText('after', () => `\nOptions of copy:\n${optionsHelp(copy)}`);
  return program;
}

function addCopyCommand(program: Command, signal: AbortSignal): Command {
  const copy = program
    .command('copy', { isDefault: true })
    .alias('cp')
    .summary('copy one image (the default command: imgcopy SRC DST)')
    .description(
      'Copies one image: an index with all its instances, unless --platform says otherwise. Prints the destination pinned by digest.',
    )
    .argument('<src>', 'docker://HOST[:PORT]/NAME[:TAG][@DIGEST], NAME[:TAG] or dir:PATH')
    .argument('<dst>', "the same; without a tag it takes the source's");
  for (const option of copyOptions()) copy.addOption(withVariable(option));
  return copy.action(async (source: string, destination: string, flags: CopyFlags) => {
    const { runCopy } = await import('./copy-command.ts');
    await runCopy(source, destination, flags, signal);
  });
}

function copyOptions(): readonly Option[] {
  return [...imageOptions(), ...transferOptions(), ...endpointOptions(), ...outputOptions()];
}

function imageOptions(): readonly Option[] {
  return [
    new Option('-a, --all', 'the whole index; this is the default'),
    new Option(
      '-p, --platform <os/arch[/variant]>',
      'only these (repeat, or commas): one copies that image alone, several an index of just these; local is this machine',
    ).argParser(collectPlatforms),
    new Option('--sparse', 'with several platforms, keep the index of the source as it is'),
    new Option('-n, --no-clobber', 'leave a destination that exists alone'),
    new Option('--force', 'check every blob, even where the destination has this image already'),
    new Option('--additional-tag <tag>', 'tag the destination so, too (repeat)').argParser(collect),
    new Option('--remove-signatures', 'leave the signatures of a dir: source behind'),
    new Option('--preserve-digests', 'fail rather than change the manifest'),
  ];
}

function transferOptions(): readonly Option[] {
  return [
    new Option('-j, --jobs <n>', 'blobs in flight, over the whole run').default(16).argParser(parsePositive),
    new Option('--partial <when>', 'build blobs from pieces that the destination has, resume, fetch by parallel ranges')
      .choices(['auto', 'always', 'never'])
      .default('auto'),
    new Option('--retry-times <n>', 'retries of one request or blob').default(5).argParser(parseCount),
    new Option('--retry-delay <duration>', 'before the first retry; doubles with each').argParser(parseDuration),
    new Option('--timeout <duration>', 'idle time after which a transfer counts as stalled (default: 60s)').argParser(
      parseDuration,
    ),
    new Option('--command-timeout <duration>', 'how long the whole run may take').argParser(parseDuration),
    new Option('--no-cache', 'neither read nor write the blob info cache'),
  ];
}

const eachSide = (make: (prefix: string, side: string) => Option): readonly Option[] => [
  make('', 'both sides'),
  make('src-', 'the source'),
  make('dest-', 'the destination'),
];

/** Each of these comes for both sides, and for the source and the destination alone. */
function endpointOptions(): readonly Option[] {
  return [
    ...eachSide((prefix, side) => new Option(`--${prefix}creds <user[:pass]>`, `credentials for ${side}`)),
    ...eachSide((prefix, side) => new Option(`--${prefix}username <user>`, `user name for ${side}`)),
    ...eachSide((prefix, side) => new Option(`--${prefix}password <password>`, `password for ${side}`)),
    new Option('--password-stdin', 'read the password from standard input'),
    ...eachSide((prefix, side) => new Option(`--${prefix}registry-token <token>`, `bearer token for ${side}`)),
    ...eachSide((prefix, side) => new Option(`--${prefix}no-creds`, `ask anonymously: ${side}`)),
    ...eachSide(
      (prefix, side) =>
        new Option(`--${prefix}authfile <file>`, `the auth file for ${side} (default: those of docker and podman)`),
    ),
    ...eachSide((prefix, side) =>
      new Option(
        `--${prefix}tls-verify <bool>`,
        `check certificates of ${side}; false also allows http (default: true)`,
      ).argParser(parseBoolean),
    ),
    ...eachSide((prefix, side) => new Option(`--${prefix}plain-http`, `http for ${side}`)),
    ...eachSide((prefix, side) => new Option(`--${prefix}cert-dir <dir>`, `*.crt, *.cert and *.key for ${side}`)),
    new Option('--ca-file <file>', 'further certificate authorities, PEM'),
  ];
}

function outputOptions(): readonly Option[] {
  return [
    new Option('--digestfile <file>', 'write the digest there'),
    new Option('--json', 'print one JSON object instead of the reference'),
    new Option('--progress <how>', 'how progress is shown, on stderr')
      .choices(['auto', 'tty', 'plain', 'json', 'none'])
      .default('auto'),
    new Option('-q, --quiet', 'print errors and the result only'),
    new Option('-v, --verbose', 'print what is not essential, too'),
    new Option('--debug', 'print every request, and stack traces'),
  ];
}

/** Each option can be set by a variable: IMGCOPY_ and its name in capitals. */
function withVariable(option: Option): Option {
  const name = (option.long ?? '').replace(/^--/, '');
  const variable = `IMGCOPY_${name.toUpperCase().replaceAll('-', '_')}`;
  const isFlag = option.isBoolean();
  // Commander takes any value of a flag's variable for a yes.
  if (isFlag && /^(|0|no|false)$/i.test(process.env[variable] ?? '')) return option;
  return option.env(variable);
}

function optionsHelp(command: Command): string {
  const help = command.createHelp();
  const options = help.visibleOptions(command);
  const width = Math.max(...options.map((option) => help.optionTerm(option).length));
  return options
    .map((option) => help.formatItem(help.optionTerm(option), width, help.optionDescription(option), help))
    .join('\n');
}
