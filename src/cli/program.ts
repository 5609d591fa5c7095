import { Command, Option } from 'commander';
import { transports, VERSION, type Transport } from '../index.ts';
import type { CommandContext } from './command-context.ts';
import { addCommands } from './commands.ts';
import { configureHelp, imageForms, optionsHelp, variablesHelp } from './help.ts';
import {
  addOptions,
  BOTH_SIDES,
  credentialOptions,
  debugOption,
  jobsOption,
  limitRateOption,
  patienceOptions,
  registriesOptions,
  tlsOptions,
} from './options.ts';
import { collect, collectPlatforms, parseByteRate, parseBytes, parseDigestOrNone } from './option-values.ts';
import type { CopyFlags } from './copy-command.ts';

export interface ProgramOptions {
  /** What references may name. Default: all that imgcopy has. */
  readonly transports?: readonly Transport[];
  /** The folder of the installed program. Undefined where it runs from its sources. */
  readonly installed?: string | undefined;
}

/** The command line's definition. What a command does is loaded when it runs. */
export function createProgram(signal: AbortSignal, options: ProgramOptions = {}): Command {
  const context: CommandContext = { transports, ...options, signal };
  const program = new Command('imgcopy')
    .description(
      'Copies container images between registries, directories and archives, moving as few bytes in as few round trips as it can.',
    )
    .usage('[copy] SRC DST [DST2 ...] [options]\n       imgcopy COMMAND [options]')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  configureHelp(program);
  const copy = addCopyCommand(program, context);
  addCommands(program, context);
  program.addHelpText('after', ({ command }) => optionsHelp(copy, command) + EXAMPLES + variablesHelp);
  copy.addHelpText('after', EXAMPLES + variablesHelp);
  return program;
}

const EXAMPLES = `
Examples:
  imgcopy alpine:3.20 registry.test/alpine        same tag, all platforms
  imgcopy -p linux/arm64 alpine:3.20 dir:alpine   one platform, into a directory
  img=$(imgcopy -q dir:alpine registry.test/a:1)  the result, pinned by digest
`;

function addCopyCommand(program: Command, context: CommandContext): Command {
  const copy = program
    .command('copy', { isDefault: true })
    .alias('cp')
    .usage('SRC DST [DST2 ...] [options]')
    .summary('copy one image; the default: imgcopy SRC DST')
    .description(
      'Copies one image: an index with all its instances, unless --platform says otherwise. Prints the destination pinned by digest; of several, a line for each, empty where one failed.',
    )
    .argument('<src>', imageForms(context.transports))
    .argument(
      '<dst...>',
      "same forms; a registry destination without a tag gets the source's tag. Several: the source is read once",
    );
  addOptions(copy, 'What is copied:', imageOptions());
  addOptions(copy, 'Several tags:', tagOptions());
  addOptions(copy, 'How it is copied:', transferOptions());
  addOptions(copy, 'Credentials:', credentialOptions(BOTH_SIDES));
  addOptions(copy, 'Connections:', [...tlsOptions(BOTH_SIDES), ...registriesOptions()]);
  addOptions(copy, 'Output:', outputOptions());
  return copy.action(async (source: string, destinations: readonly string[], flags: CopyFlags) => {
    const [destination = '', ...others] = destinations;
    if (flags.allTags || (flags.tags ?? flags.exclude ?? flags.semver) !== undefined) {
      const { runCopyTags } = await import('./copy-tags-command.ts');
      if (!flags.dryRun) return await runCopyTags(source, destinations, flags, context);
      const { runDryRunOfTags } = await import('./dry-run-tags-command.ts');
      return await runDryRunOfTags(source, destinations, flags, context);
    }
    if (flags.dryRun) {
      const { runDryRun, runDryRunOfSeveral } = await import('./dry-run-command.ts');
      if (others.length > 0) return await runDryRunOfSeveral(source, destinations, flags, context);
      return await runDryRun(source, destination, flags, context);
    }
    if (others.length > 0) {
      const { runCopyToSeveral } = await import('./copy-several-command.ts');
      return await runCopyToSeveral(source, destinations, flags, context);
    }
    const { runCopy } = await import('./copy-command.ts');
    return await runCopy(source, destination, flags, context);
  });
}

function tagOptions(): readonly Option[] {
  return [
    new Option(
      '--all-tags',
      'copy all tags of the repository SRC to the repository or layout DST; one line is printed for each. Tags sha256-… are left out; -r brings what they hold',
    ),
    new Option(
      '--tags <glob>',
      'copy only the tags that match (repeatable; * and ? match); implies --all-tags',
    ).argParser(collect),
    new Option('--exclude <glob>', 'copy all tags but those that match (repeatable); implies --all-tags').argParser(
      collect,
    ),
    new Option(
      '--semver <range>',
      'copy only tags that are versions in this range, such as ^1.4 or ">=2 <4" (repeatable); implies --all-tags',
    ).argParser(collect),
  ];
}

function imageOptions(): readonly Option[] {
  return [
    new Option('-a, --all', 'all platforms; this is the default').conflicts('platform'),
    new Option(
      '-p, --platform <platform>',
      'OS/ARCH[/VARIANT][:OSVERSION], or local for this machine; repeatable or comma-separated. One platform: a plain image. Several: a new index with only those',
    ).argParser(collectPlatforms),
    new Option('--sparse', 'with several platforms, keep the index of the source as it is'),
    new Option('-n, --no-clobber', 'skip tags and directories that already exist; each tag is decided on its own'),
    new Option('--force', 'check every blob, even where the destination has this image already'),
    new Option('--additional-tag <tag>', 'also tag the destination with this tag (repeatable)').argParser(collect),
    new Option(
      '--since <ref>',
      'with an archive as DST: leave out the layers of this image, which whoever imports the archive has (repeatable)',
    ).argParser(collect),
    new Option(
      '--if-digest <digest>',
      'replace the tag of DST only if it is at this digest now; none: create it only if it does not exist',
    )
      .argParser(parseDigestOrNone)
      .conflicts('clobber'),
    new Option(
      '--max-bytes <bytes>',
      'fail before anything is written if more bytes of layers and configs than this have to be uploaded, e.g. 500M or 0',
    ).argParser(parseBytes),
    new Option(
      '--require-referrer <type>',
      'fail before anything is written if no referrer of this type exists (repeatable; * and ? match): presence is checked, not trust',
    ).argParser(collect),
    new Option(
      '--allow-nondistributable-artifacts',
      "also copy layers that are kept at foreign URLs (Windows' base layers), from there or from a directory. Of an archive from a pipe whose index comes last, they are uploaded even without this option",
    ),
    new Option('--remove-signatures', 'do not copy the signatures of a dir: source'),
    new Option(
      '-r, --referrers',
      'also copy what refers to the image and its instances: signatures, attestations, SBOMs, and what refers to these',
    ),
    new Option(
      '--referrers-type <type>',
      'only referrers of this artifact type (repeatable; * and ? match); sig, att and sbom are the tags of cosign',
    ).argParser(collect),
    new Option(
      '--substitute',
      'reuse an equivalent blob in another compression; the manifest changes, and with it the digest',
    ),
    new Option('--preserve-digests', 'fail instead of changing the manifest'),
  ];
}

function transferOptions(): readonly Option[] {
  return [
    jobsOption('how many blobs to copy at the same time'),
    limitRateOption('bytes per second for all downloads together, and for all uploads, e.g. 10M or 512K'),
    new Option(
      '--min-rate <bytes>',
      'bytes per second, over a minute, below which a source counts as stalled; 0 turns this off, and so does --limit-rate',
    )
      .default(undefined, '1K')
      .argParser((text) => (text === '0' ? 0 : parseByteRate(text))),
    new Option(
      '--partial <when>',
      'auto, always or never: reuse parts of layers the destination already has, resume, download in parallel ranges',
    )
      .choices(['auto', 'always', 'never'])
      .default(undefined, 'auto'),
    ...patienceOptions(),
    new Option('--no-cache', 'do not use the blob info cache'),
  ];
}

function outputOptions(): readonly Option[] {
  return [
    new Option(
      '--dry-run',
      'print what would be copied, and how much, as a table or with --json; nothing is written. Without --max-bytes, the copy may send up to 32 MiB more of small blobs that are there already. Goes with several destinations and with --all-tags',
    ).conflicts(['digestfile']),
    new Option('--digestfile <file>', 'write the digest to this file'),
    new Option(
      '--output <what>',
      'reference (docker://host/name@sha256:…), image (host/name@sha256:…), digest or json: what to print',
    )
      .choices(['reference', 'image', 'digest', 'json'])
      .default(undefined, 'reference'),
    new Option('--json', 'the same as --output json').conflicts('output'),
    new Option('--progress <how>', 'auto, tty, plain, json, github or none: how progress is shown, on standard error')
      .choices(['auto', 'tty', 'plain', 'json', 'github', 'none'])
      .default(undefined, 'auto'),
    new Option('-q, --quiet', 'print errors and the result only'),
    new Option('-v, --verbose', 'print more detail and minor warnings'),
    debugOption(),
  ];
}
