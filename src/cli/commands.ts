import { Argument, Option, type Command } from 'commander';
import {
  addOptions,
  authFileOptions,
  credentialOptions,
  debugOption,
  jobsOption,
  limitRateOption,
  ONE_REGISTRY,
  patienceOptions,
  registriesOptions,
  tlsOptions,
} from './options.ts';
import type { CommandContext } from './command-context.ts';
import { imageForms, repositoryForms } from './help.ts';
import { collect, parseOnePlatform } from './option-values.ts';
import type { InspectFlags, QueryFlags, ReferrersFlags } from './query-commands.ts';
import type { VerifyFlags } from './verify-command.ts';
import type { LoginFlags } from './login-command.ts';

/** Adds the commands beside copy. */
export function addCommands(program: Command, context: CommandContext): void {
  addQueryCommands(program, context);
  addLoginCommands(program, context.signal);
  addCacheCommand(program, context);
  addCompletionCommand(program, context);
}

function addQueryCommands(program: Command, context: CommandContext): void {
  const inspect = program
    .command('inspect')
    .summary("show an image's platforms, layers and sizes")
    .description(
      'Shows what an image is made of: its index, platforms, layers, sizes and media types. No layer is read.',
    )
    .argument('<ref>', imageForms(context.transports))
    .addOption(platformOption())
    .addOption(new Option('-r, --referrers', 'also show what refers to the image and its instances').conflicts('raw'))
    .addOption(new Option('--raw', "print the manifest's bytes as they are stored"))
    .action(async (reference: string, flags: InspectFlags) => {
      const { runInspect } = await import('./query-commands.ts');
      await runInspect(reference, flags, context);
    });
  addOptions(inspect, 'Options:', [new Option('--json', 'print one JSON object').conflicts('raw')]);
  const referrers = program
    .command('referrers')
    .summary('list what refers to an image: signatures, SBOMs')
    .description(
      'Lists what refers to an image and to its instances: signatures, attestations, SBOMs, and what refers to these. One per line: digest, type, and what it refers to; a tree on a terminal.',
    )
    .argument('<ref>', imageForms(context.transports))
    .addOption(platformOption())
    .addOption(referrersTypeOption())
    .addOption(new Option('--json', 'print one JSON object'))
    .action(async (reference: string, flags: ReferrersFlags) => {
      const { runReferrers } = await import('./query-commands.ts');
      await runReferrers(reference, flags, context);
    });
  const verify = program
    .command('verify')
    .summary('check that an image is whole')
    .description(
      'Checks that an image is whole: every manifest is there with its digest, every blob with its size. What is missing or wrong is printed, one per line, and the exit status is 5.',
    )
    .argument('<ref>', imageForms(context.transports))
    .addOption(platformOption())
    .addOption(new Option('--deep', 'read every blob, and check it against its digest'))
    .addOption(new Option('-r, --referrers', 'also check what refers to the image and its instances'))
    .addOption(referrersTypeOption())
    .addOption(
      new Option(
        '--same-as <ref>',
        'also check that it is the same image as this one; with -r, that nothing is missing of what refers to that. --creds and its kin are not sent to another registry',
      ),
    )
    .addOption(jobsOption('how many blobs to read at the same time'))
    .addOption(limitRateOption('bytes per second for all downloads together, e.g. 10M or 512K'))
    .addOption(new Option('--json', 'print one JSON object'))
    .action(async (reference: string, flags: VerifyFlags) => {
      const { runVerify } = await import('./verify-command.ts');
      await runVerify(reference, flags, context);
    });
  const tags = program
    .command('tags')
    .aliases(['ls', 'list-tags'])
    .summary('list the tags of a repository, or the names in a layout or archive')
    .description(
      "Prints the tags of a repository, one per line, in the registry's order; of a layout or an archive, the names of its images.",
    )
    .argument('<repository>', repositoryForms(context.transports))
    .action(async (repository: string, flags: QueryFlags) => {
      const { runTags } = await import('./query-commands.ts');
      await runTags(repository, flags, context);
    });
  const digest = program
    .command('digest')
    .summary('print the digest of an image')
    .description('Prints the digest of an image, using only a HEAD request where possible.')
    .argument('<ref>', imageForms(context.transports))
    .addOption(platformOption())
    .action(async (reference: string, flags: QueryFlags) => {
      const { runDigest } = await import('./query-commands.ts');
      await runDigest(reference, flags, context);
    });
  for (const command of [inspect, referrers, verify, tags, digest]) {
    addOptions(command, 'Credentials:', credentialOptions(ONE_REGISTRY));
    addConnectionOptions(command);
  }
}

function addLoginCommands(program: Command, signal: AbortSignal): void {
  const login = program
    .command('login')
    .summary('store or check credentials for a registry')
    .description(
      'Checks a user name and password with a registry and saves them where docker and podman look. Prompts for anything missing when run in a terminal.',
    )
    .argument('<registry>', 'HOST[:PORT]; Docker Hub is docker.io. With --check also HOST[:PORT]/NAME')
    .addOption(
      new Option(
        '--check',
        'store nothing: print which credentials a copy would use, where they come from, and whether the registry accepts them',
      ),
    )
    .addOption(new Option('--json', 'with --check: print one JSON object'))
    .action(async (registry: string, flags: LoginFlags) => {
      const { runLogin } = await import('./login-command.ts');
      await runLogin(registry, flags, signal);
    });
  addOptions(login, 'Credentials:', [
    new Option('-u, --username <user>', 'user name'),
    new Option(
      '-p, --password <password>',
      'password (visible to other users of this machine; prefer --password-stdin)',
    ),
    new Option('--password-stdin', 'read the password from standard input').conflicts('password'),
    new Option('--creds <user[:pass]>', 'user name and password in one'),
    new Option('--registry-token <token>', 'with --check: this bearer token'),
    new Option('--no-creds', 'with --check: ask anonymously'),
    ...authFileOptions(ONE_REGISTRY),
  ]);
  addConnectionOptions(login);
  const logout = program
    .command('logout')
    .summary('remove the credentials for a registry')
    .description(
      'Removes the credentials for a registry from the files of docker and podman, and from their credential helpers.',
    )
    .argument('<registry>', 'HOST[:PORT]; Docker Hub is docker.io')
    .action(async (registry: string, flags: LoginFlags) => {
      const { runLogout } = await import('./login-command.ts');
      await runLogout(registry, flags, signal);
    });
  addOptions(logout, 'Credentials:', authFileOptions(ONE_REGISTRY));
}

function addCacheCommand(program: Command, { installed, signal }: CommandContext): void {
  program
    .command('cache')
    .summary('show or clear the blob info cache; compile the program for its users')
    .description(
      'Shows where the blob info cache is (path) or what it holds (stats), or removes it (clear). It only makes copies faster; it is always safe to clear. ' +
        'compile keeps compiled code in the folder where imgcopy is installed, so that first runs start faster, such as those of a container image.',
    )
    .addArgument(
      new Argument('<action>', 'path, stats, clear or compile').choices(['path', 'stats', 'clear', 'compile']),
    )
    .addOption(new Option('--json', 'stats: print one JSON object'))
    .action(async (action: 'path' | 'stats' | 'clear' | 'compile', flags: { readonly json?: boolean }) => {
      if (action === 'compile') {
        const { runCompile } = await import('./compile-command.ts');
        return await runCompile(installed, signal);
      }
      const { runCache } = await import('./cache-command.ts');
      return await runCache(action, flags);
    });
}

function addCompletionCommand(program: Command, { transports }: CommandContext): void {
  program
    .command('completion')
    .summary('print a completion script for a shell')
    .description('Prints a completion script: source <(imgcopy completion bash), or imgcopy completion fish | source.')
    .addArgument(new Argument('<shell>', 'bash, zsh or fish').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScript } = await import('./completion/completion-script.ts');
      process.stdout.write(completionScript(shell, program, transports));
    });
}

function addConnectionOptions(command: Command): void {
  addOptions(command, 'Connections:', [
    ...tlsOptions(ONE_REGISTRY),
    ...registriesOptions(),
    ...patienceOptions(),
    debugOption(),
  ]);
}

function referrersTypeOption(): Option {
  return new Option(
    '--referrers-type <type>',
    'only this artifact type (repeatable; * and ? match); sig, att and sbom are the tags of cosign',
  ).argParser(collect);
}

function platformOption(): Option {
  return new Option(
    '-p, --platform <platform>',
    'OS/ARCH[/VARIANT][:OSVERSION], or local for this machine: the image for that platform',
  ).argParser(parseOnePlatform);
}
