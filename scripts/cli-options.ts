// The options of a command as its documentation shows them: an option and its twins for one side share an entry, and what
// commands share is told at `imgcopy copy` alone.

import type { Command, Option } from 'commander';

export interface DocumentedOption {
  /** `-p`, `--platform`; with twins, `--creds`, `--src-creds`, `--dest-creds`. */
  readonly names: readonly string[];
  /** `<platform>`, or nothing. */
  readonly value: string;
  readonly description: string;
  readonly defaultValue: string;
  readonly variables: readonly string[];
}

export interface CommandOptions {
  readonly own: readonly { readonly heading: string; readonly options: readonly DocumentedOption[] }[];
  /** Options that are explained at `imgcopy copy`, by their names. */
  readonly shared: readonly { readonly heading: string; readonly names: readonly string[] }[];
}

/** The commands that are documented, and the one whose options the others share. */
export function documentedCommands(program: Command): {
  readonly commands: readonly Command[];
  readonly copy: Command;
} {
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const copy = commands.find((command) => command.name() === 'copy');
  if (copy === undefined) throw new Error('there is no copy');
  return { commands, copy };
}

export function optionsOf(command: Command, copy: Command): CommandOptions {
  const isShared = ({ long, short }: Option): boolean =>
    command !== copy &&
    long !== '--json' &&
    copy.options.some((option) => option.long === long && option.short === short && isOfRegistry(option));
  return {
    own: grouped(command.options.filter((option) => !isShared(option))).map(([heading, options]) => ({
      heading,
      options: withTwins(options),
    })),
    shared: grouped(command.options.filter(isShared)).map(([heading, options]) => ({
      heading,
      names: options.map(({ long }) => long ?? ''),
    })),
  };
}

export function usageOf(command: Command): string {
  const operands = command.registeredArguments.map((argument) => {
    const name = argument.name().toUpperCase();
    return argument.variadic ? `${name} [${name}2 ...]` : name;
  });
  return ['imgcopy', command.name() === 'copy' ? '[copy]' : command.name(), ...operands, '[options]'].join(' ');
}

function grouped(options: readonly Option[]): readonly (readonly [string, readonly Option[]])[] {
  return [...Map.groupBy(options, ({ helpGroupHeading }) => (helpGroupHeading ?? 'Options:').replace(/:$/, ''))];
}

/** Whether it is about how registries are reached, and not about what is copied or printed. */
function isOfRegistry({ helpGroupHeading }: Option): boolean {
  return ['Credentials:', 'Connections:', 'How it is copied:', 'Output:'].includes(helpGroupHeading ?? '');
}

function withTwins(options: readonly Option[]): readonly DocumentedOption[] {
  return options
    .filter(({ long }) => !isForOneSide(long))
    .map((option) => {
      const twins = options.filter(
        ({ long }) => isForOneSide(long) && long?.replace(/^--(?:src|dest)-/, '--') === option.long,
      );
      const [, value = ''] = /(<.*>)$/.exec(option.flags) ?? [];
      return {
        names: [option.short, option.long, ...twins.map(({ long }) => long)].filter((name) => name !== undefined),
        value,
        description: option.description,
        defaultValue: option.defaultValueDescription ?? '',
        variables: [option, ...twins].flatMap(({ envVar }) => envVar ?? []),
      };
    });
}

function isForOneSide(long: string | undefined): boolean {
  return /^--(?:src|dest)-/.test(long ?? '');
}
