import type { CompletedCommand, CompletedOption } from './completed-command.ts';

export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const options = commands.flatMap((command) => command.options);
  const choices = new Map(
    options.flatMap((option) => (option.choices.length > 0 ? [[option.names.join('|'), option.choices] as const] : [])),
  );
  const paths = distinctNames(options.filter(({ isPath }) => isPath));
  const other = distinctNames(
    options.filter((option) => option.takesValue && option.choices.length === 0 && !option.isPath),
  );
  return `# bash completion for imgcopy: source <(imgcopy completion bash)
_imgcopy() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=copy options= arguments= i
  # Bash makes words of = and : too.
  [[ $word == = || $word == : ]] && word=
  [[ $before == = ]] && before=\${COMP_WORDS[COMP_CWORD-2]}
  case $before in
${[...choices].map(([names, values]) => `    ${names}) ${reply(`-W '${values.join(' ')}'`)}; return ;;`).join('\n')}
    ${paths}) ${reply('-f')}; return ;;
    ${other}) COMPREPLY=(); return ;;
  esac
  if [[ \${COMP_LINE:0:COMP_POINT} =~ (^|[[:space:]])dir:[^[:space:]]*$ ]]; then
    ${reply('-d')}
    return
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      ${commands.flatMap(({ names }) => names).join('|')}) command=\${COMP_WORDS[i]}; break ;;
    esac
  done
  case $command in
${commands.map(wordsOf).join('\n')}
  esac
  if [[ $word == -* ]]; then
    ${reply('-W "$options"')}
  else
    ((COMP_CWORD == 1)) && arguments='${commands.map(({ names }) => names[0]).join(' ')} help docker:// dir:'
    ${reply('-W "$arguments"')}
  fi
}
complete -F _imgcopy imgcopy
`;
}

function wordsOf({ names, options, choices }: CompletedCommand): string {
  const flags = options.flatMap((option) => option.names).join(' ');
  return `    ${names.join('|')}) options='${flags}' arguments='${choices.join(' ')}' ;;`;
}

function distinctNames(options: readonly CompletedOption[]): string {
  return [...new Set(options.flatMap(({ names }) => names))].join('|');
}

function reply(words: string): string {
  return `COMPREPLY=($(compgen ${words} -- "$word"))`;
}
