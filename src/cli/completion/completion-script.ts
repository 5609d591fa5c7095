import type { Command, Option } from 'commander';
import type { Transport } from '../../index.ts';
import { bashCompletion } from './bash.ts';
import type { CompletedCommand, CompletedOption, CompletedProgram, CompletedTransport } from './completed-command.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

type Shell = 'bash' | 'zsh' | 'fish';

const SCRIPTS: Readonly<Record<Shell, (program: CompletedProgram) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

/** Arguments that are an image, by their names in the help. */
const IMAGE_ARGUMENTS: ReadonlySet<string> = new Set(['src', 'dst', 'ref']);

/** A script that completes commands, options, their values, and the beginnings of images, for a shell to source. */
export function completionScript(shell: Shell, program: Command, transports: readonly Transport[]): string {
  const completed = transports.map(({ prefix, completes }): CompletedTransport => ({
    prefix,
    follows: completes === 'image' ? undefined : completes,
  }));
  const commands = program.commands.map(describe);
  const help: CompletedCommand = {
    names: ['help'],
    summary: 'print help for a command',
    isDefault: false,
    options: [],
    choices: commands.map(({ names: [name = ''] }) => name),
    takesImages: false,
  };
  return SCRIPTS[shell]({ commands: [...commands, help], transports: completed });
}

function describe(command: Command): CompletedCommand {
  const { registeredArguments } = command;
  return {
    names: [command.name(), ...command.aliases()],
    summary: command.summary(),
    isDefault: command.name() === 'copy',
    options: command.createHelp().visibleOptions(command).map(describeOption),
    choices: registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    takesImages: registeredArguments.some((argument) => IMAGE_ARGUMENTS.has(argument.name())),
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
