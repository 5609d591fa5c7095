import type { Command, Option } from 'commander';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

/** What a completion script knows of a command. */
export interface CompletedCommand {
  /** Its name, then its aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  /** Whether it is meant where no command is named. */
  readonly isDefault: boolean;
  readonly options: readonly CompletedOption[];
  /** What its argument may be, where that is a short list. */
  readonly choices: readonly string[];
}

export interface CompletedOption {
  /** `-j`, `--jobs`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** The values that it may have; none where that is anything. */
  readonly choices: readonly string[];
  readonly isPath: boolean;
}

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
