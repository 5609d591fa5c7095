import type { Command, Help, Option } from 'commander';
import type { Transport } from '../index.ts';

/** How an image is named, in each transport. */
export function imageForms(transports: readonly Transport[]): string {
  return `${transports.map(({ form }) => form).join(', ')}, or NAME[:TAG] on Docker Hub`;
}

/** How a repository is named whose tags can be listed. */
export function repositoryForms(transports: readonly Transport[]): string {
  return `${transports.flatMap(({ repositoryForm = [] }) => repositoryForm).join(', ')}, or NAME on Docker Hub`;
}

/** To name its variable at each option would double the help. */
export const variablesHelp = `
Each of these options can be set by a variable: --retry-times 3 is
IMGCOPY_RETRY_TIMES=3, --quiet is IMGCOPY_QUIET=1.
`;

/** Wider lines are hard to read. */
const MAX_WIDTH = 120;

/** How the help of a program and its commands looks; to be called before commands are added. */
export function configureHelp(program: Command): void {
  program.configureHelp({
    optionDescription,
    subcommandTerm,
    minWidthToWrap: 20,
    prepareContext(this: Help, { helpWidth }) {
      this.helpWidth = Math.min(helpWidth ?? 80, MAX_WIDTH);
    },
  });
}

/** The options of the default command, for the help of the program; those for one side alone are left to the command's own help. */
export function optionsHelp(command: Command, program: Command): string {
  const help = program.createHelp();
  help.prepareContext({ helpWidth: process.stdout.isTTY ? process.stdout.columns : 80 });
  const options = help.visibleOptions(command).filter(({ long }) => !/^--(?:src|dest)-|^--help$/.test(long ?? ''));
  const width = Math.max(...options.map((option) => help.optionTerm(option).length));
  const groups = Map.groupBy(options, ({ helpGroupHeading }) => helpGroupHeading ?? '');
  const sections = [...groups].map(([heading, members]) => {
    const items = members.map((option) =>
      help.formatItem(help.optionTerm(option), width, help.optionDescription(option), help),
    );
    return `\n${heading}\n${items.join('\n')}\n`;
  });
  return `${sections.join('')}
The credential and connection options apply to both sides. For one side, write
--src-... or --dest-... (--src-creds). See imgcopy copy --help for all of them.
`;
}

/** Variables are left to variablesHelp, choices to the option's own name. */
function optionDescription({ description, defaultValueDescription }: Option): string {
  return defaultValueDescription === undefined ? description : `${description} (default: ${defaultValueDescription})`;
}

function subcommandTerm(command: Command): string {
  const names = [command.name(), ...command.aliases()].join('|');
  return [names, ...command.registeredArguments.map((argument) => argument.name().toUpperCase())].join(' ');
}
