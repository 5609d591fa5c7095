import type { CompletedCommand, CompletedOption, CompletedProgram } from './completed-command.ts';

export function bashCompletion({ commands, transports }: CompletedProgram): string {
  const options = commands.flatMap((command) => command.options);
  const choices = new Map(
    options.flatMap((option) => (option.choices.length > 0 ? [[option.names.join('|'), option.choices] as const] : [])),
  );
  const paths = distinctNames(options.filter(({ isPath }) => isPath));
  const other = distinctNames(
    options.filter((option) => option.takesValue && option.choices.length === 0 && !option.isPath),
  );
  const prefixes = transports.map(({ prefix }) => prefix).join(' ');
  const before = (kind: 'path' | 'file'): string =>
    transports.flatMap(({ prefix, follows }) => (follows === kind ? [`${prefix}*`] : [])).join('|');
  return `# bash completion for imgcopy: source <(imgcopy completion bash)
_imgcopy() {
  local line=\${COMP_LINE:0:COMP_POINT} command=copy options= arguments= operands=0 i
  local -a words
  # Bash splits words at = and : too; here they are whole.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local word=\${words[-1]} before=\${words[-2]}
  if [[ $word == --*=* ]]; then
    before=\${word%%=*} word=\${word#*=}
  fi
  case $before in
${[...choices].map(([names, values]) => `    ${names}) ${reply(`-W '${values.join(' ')}'`)}; return ;;`).join('\n')}
    ${paths}) compopt -o filenames; ${reply('-f')}; return ;;
    ${other}) COMPREPLY=(); return ;;
  esac
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    case \${words[i]} in
      ${commands.flatMap(({ names }) => names).join('|')}) ((operands == 0)) && command=\${words[i]} || ((operands++)) ;;
      ${[paths, other, ...choices.keys()].join('|')}) ((i++)) ;;
      -*) ;;
      *) ((operands++)) ;;
    esac
  done
  case $command in
${commands.map((command) => wordsOf(command, prefixes)).join('\n')}
  esac
  if [[ $word == -* ]]; then
    ${reply('-W "$options"')}
    return
  fi
  # The first word may be a command as well.
  ((\${#words[@]} == 2)) && arguments+=' ${commands.map(({ names }) => names[0]).join(' ')}'
  case $word in
    ${before('file')}) compopt -o filenames; COMPREPLY=($(compgen -f -- "\${word#*:}")) ;;
    ${before('path')})
      compopt -o nospace
      COMPREPLY=($(compgen -d -S / -- "\${word#*:}")) ;;
    *)
      ${reply('-W "$arguments"')}
      [[ \${COMPREPLY[*]} == *: || \${COMPREPLY[*]} == */ ]] && compopt -o nospace
      # What stands before the last colon is on the line already.
      [[ $word == *:* ]] && COMPREPLY=("\${COMPREPLY[@]#"\${word%:*}:"}") ;;
  esac
  return 0
}
complete -F _imgcopy imgcopy
`;
}

function wordsOf({ names, options, choices, takesImages }: CompletedCommand, prefixes: string): string {
  const flags = options.flatMap((option) => option.names).join(' ');
  const words = takesImages ? prefixes : choices.join(' ');
  return `    ${names.join('|')}) options='${flags}' arguments='${words}' ;;`;
}

function distinctNames(options: readonly CompletedOption[]): string {
  return [...new Set(options.flatMap(({ names }) => names))].join('|');
}

function reply(words: string): string {
  return `COMPREPLY=($(compgen ${words} -- "$word"))`;
}
