import type { CompletedCommand, CompletedOption, CompletedProgram } from './completed-command.ts';

export function zshCompletion({ commands, transports }: CompletedProgram): string {
  const after = (kind: 'path' | 'file'): string =>
    transports.flatMap(({ prefix, follows }) => (follows === kind ? [`compset -P ${prefix}`] : [])).join(' || ');
  const prefixes = transports.map(({ prefix }) => prefix).join(' ');
  const verbs = commands.map(({ names, summary }) => `      ${quoted(`${names[0]}:${summary}`)}`);
  return `#compdef imgcopy
# zsh completion for imgcopy: source <(imgcopy completion zsh)
_imgcopy_image() {
  if ${after('path')}; then _files -/; elif ${after('file')}; then _files; else compadd -S '' -- ${prefixes}; fi
}
_imgcopy() {
  local command=copy
  if ((CURRENT == 2)); then
    local -a commands=(
${verbs.join('\n')}
    )
    _describe command commands
  fi
  case \${words[2]} in
    ${commands.flatMap(({ names }) => names).join('|')}) command=\${words[2]}; shift words; ((CURRENT--)) ;;
  esac
  case $command in
${commands.map(argumentsOf).join('\n')}
  esac
}
if [[ \${funcstack[1]} == _imgcopy ]]; then _imgcopy "$@"; else compdef _imgcopy imgcopy; fi
`;
}

function argumentsOf({ names, options, choices, takesImages }: CompletedCommand): string {
  const operands = takesImages ? '*:image:_imgcopy_image' : `1:argument:(${choices.join(' ')})`;
  const specs = [...options.flatMap(specsOf), operands].map((spec) => `        ${quoted(spec)}`);
  return `    ${names.join('|')})
      _arguments \\
${specs.join(' \\\n')} ;;`;
}

function specsOf({ names, description, takesValue, choices, isPath }: CompletedOption): readonly string[] {
  const text = description.replaceAll(/[[\]:\\]/g, String.raw`\$&`);
  const values = choices.length > 0 ? `(${choices.join(' ')})` : isPath ? '_files' : ' ';
  return names.map((name) =>
    takesValue ? `*${name}${name.startsWith('--') ? '=' : '+'}[${text}]:value:${values}` : `*${name}[${text}]`,
  );
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
