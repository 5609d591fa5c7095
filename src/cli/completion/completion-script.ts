import type { Command, Option } from 'commander';
import { bashCompletion } from './bash.ts';
import type { CompletedCommand, CompletedOption } from './completed-command.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

type Shell = 'bash' | 'zsh' | 'fish';

const SCRIPTS: Readonly<Record<Shell, (commands: readonly CompletedCommand[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** A script that completes commands, options and their values, for a shell to source. */
export function completionScript(shell: Shell, program: Command): string {
  return SCRIPTS[shell](program.commands.map((command) => describe(command, { isDefault: command.name() === 'copy' })));
}

function describe(command: Command, { isDefault }: Pick<CompletedCommand, 'isDefault'>): CompletedCommand {
  return {
    names: [command.name(), ...command.aliases()],
    summary: command.summary(),
    isDefault,
    options: command.createHelp().visibleOptions(command).map(describeOption),
    choices: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  };
}

function describeOption(option: Option): CompletedOption {
  const isBoolean = option.flags.endsWith('<bool>');
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description,
    takesValue: option.required,
    choices: option.argChoices ?? (isBoolean ? ['true', 'false'] : []),
    isPath: /<(?:file|dir)>$/.test(option.flags),
  };
}
