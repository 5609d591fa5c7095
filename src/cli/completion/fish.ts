import type { CompletedCommand, CompletedOption, CompletedProgram, CompletedTransport } from './completed-command.ts';

export function fishCompletion({ commands, transports }: CompletedProgram): string {
  const verbs = commands.flatMap(({ names }) => names).join(' ');
  const lines = commands.flatMap((command) => linesOf(command, verbs));
  return `# fish completion for imgcopy: imgcopy completion fish | source
function __imgcopy_images
    set -l word (commandline -ct)
    switch $word
${transports.flatMap(pathCase).join('\n')}
        case '*'
            printf '%s\\n' ${transports.map(({ prefix }) => prefix).join(' ')}
    end
end
complete -c imgcopy -f
${lines.join('\n')}
`;
}

function pathCase({ prefix, follows }: CompletedTransport): readonly string[] {
  if (follows === undefined) return [];
  const complete = follows === 'file' ? '__fish_complete_path' : '__fish_complete_directories';
  return [
    `        case '${prefix}*'`,
    `            ${complete} (string replace -- ${prefix} '' $word) | string replace -r '^' ${prefix}`,
  ];
}

function linesOf(
  { names, summary, isDefault, options, choices, takesImages }: CompletedCommand,
  verbs: string,
): readonly string[] {
  const isNamed = `__fish_seen_subcommand_from ${names.join(' ')}`;
  const condition = isDefault ? `not __fish_seen_subcommand_from ${verbs}; or ${isNamed}` : isNamed;
  const start = `complete -c imgcopy -n ${quoted(condition)}`;
  return [
    `complete -c imgcopy -n __fish_use_subcommand -a ${names[0]} -d ${quoted(summary)}`,
    ...options.map((option) => `${start} ${flagsOf(option)} -d ${quoted(option.description)}`),
    ...(choices.length > 0 ? [`${start} -a ${quoted(choices.join(' '))}`] : []),
    ...(takesImages ? [`${start} -a '(__imgcopy_images)'`] : []),
  ];
}

function flagsOf({ names, takesValue, choices, isPath }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  if (!takesValue) return flags.join(' ');
  if (choices.length > 0) return `${flags.join(' ')} -x -a '${choices.join(' ')}'`;
  return `${flags.join(' ')} ${isPath ? '-r -F' : '-x'}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
