import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { completionScript } from '../../../src/cli/completion/completion-script.ts';
import { transports } from '../../../src/index.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { requireTool } from '../../support/real-tools.ts';

const program = createProgram(new AbortController().signal);

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  test(`the script for ${shell} knows all commands, and all options of copy`, () => {
    const script = completionScript(shell, program, transports);
    for (const command of program.commands) assert.ok(script.includes(command.name()), command.name());
    const { options = [] } = program.commands.find((command) => command.name() === 'copy') ?? {};
    for (const option of options) {
      const name = shell === 'fish' ? `-l ${option.name()} ` : `${option.long}`;
      assert.ok(script.includes(name), name);
    }
  });
}

/** What is typed, and what is offered; `compopt` calls come first. */
const completions: readonly (readonly [typed: string, offered: string])[] = [
  ['imgcopy ta', 'tags'],
  ['imgcopy do', 'nospace docker:// docker-archive:'],
  ['imgcopy a do', 'nospace docker:// docker-archive:'],
  ['imgcopy copy --jobs 4 a di', 'nospace dir:'],
  ['imgcopy inspect d', 'nospace docker:// dir: docker-archive:'],
  ['imgcopy a docker:', 'nospace //'],
  ['imgcopy help in', 'inspect'],
  ['imgcopy copy --partial ', 'auto always never'],
  ['imgcopy copy --partial=al', 'always'],
  ['imgcopy --dest-c', '--dest-creds --dest-cert-dir --dest-ca-file'],
  ['imgcopy inspect --ra', '--raw'],
  ['imgcopy cache s', 'stats'],
  ['imgcopy completion ', 'bash zsh fish'],
  ['imgcopy tags ', ''],
  ['imgcopy --creds ', ''],
  ['imgcopy a dir:/us', 'nospace /usr/'],
  ['imgcopy a oci-archive:/etc/hostnam', 'filenames /etc/hostname'],
  ['imgcopy a b docker:', 'nospace //'],
  ['imgcopy a b dir:c dir:/us', 'nospace /usr/'],
];

for (const [typed, offered] of completions) {
  test(`bash offers ${offered || 'nothing'} after ${typed}`, () => {
    const script = `compopt() { printf '%s ' "$2"; }
      ${completionScript('bash', program, transports)}
      COMP_LINE=$1 COMP_POINT=\${#1}
      _imgcopy && echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', typed], { encoding: 'utf8' });
    assert.deepEqual([stdout.trim(), stderr], [offered, '']);
  });
}

/** What is typed, and some of what fish offers. */
const fishCompletions: readonly (readonly [typed: string, offered: readonly string[]])[] = [
  ['imgcopy ta', ['tags']],
  ['imgcopy a d', ['docker://', 'dir:', 'docker-archive:']],
  ['imgcopy a dir:/us', ['dir:/usr/']],
  ['imgcopy help in', ['inspect']],
  ['imgcopy copy --partial ', ['auto', 'always', 'never']],
];

for (const [typed, offered] of fishCompletions) {
  test(`fish offers ${offered.join(', ')} after ${typed}`, (t) => {
    const fish = requireTool(t, 'fish');
    if (fish === undefined) return;
    const script = `${completionScript('fish', program, transports)}\ncomplete -C ${JSON.stringify(typed)}`;
    const { stdout } = spawnSync(fish, ['--no-config', '-c', script], { encoding: 'utf8' });
    const words = stdout.split('\n').map((line) => line.split('\t')[0]);
    for (const word of offered) assert.ok(words.includes(word), `${word} in ${stdout}`);
  });
}

test('zsh takes the script', (t) => {
  const zsh = requireTool(t, 'zsh');
  if (zsh === undefined) return;
  const script = `autoload -U compinit; compinit -D; ${completionScript('zsh', program, transports)}\nprint -r -- $_comps[imgcopy]`;
  const { stdout, stderr } = spawnSync(zsh, ['--no-rcs', '-c', script], { encoding: 'utf8' });
  assert.deepEqual([stdout, stderr], ['_imgcopy\n', '']);
});
