import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { completionScript } from '../../../src/cli/completion/completion-script.ts';
import { createProgram } from '../../../src/cli/program.ts';

const program = createProgram(new AbortController().signal);

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  test(`the script for ${shell} knows all commands, and all options of copy`, () => {
    const script = completionScript(shell, program);
    for (const command of program.commands) assert.ok(script.includes(command.name()), command.name());
    const { options = [] } = program.commands.find((command) => command.name() === 'copy') ?? {};
    for (const option of options) {
      const name = shell === 'fish' ? `-l ${option.name()} ` : `${option.long}`;
      assert.ok(script.includes(name), name);
    }
  });
}

/** What is typed, its words as bash splits them, and what is offered. */
const completions: readonly (readonly [words: readonly string[], offered: string])[] = [
  [['imgcopy', 'ta'], 'tags'],
  [['imgcopy', 'copy', '--partial', ''], 'auto always never'],
  [['imgcopy', 'copy', '--partial', '=', 'al'], 'always'],
  [['imgcopy', '--dest-c'], '--dest-creds --dest-cert-dir'],
  [['imgcopy', 'inspect', '--ra'], '--raw'],
  [['imgcopy', 'cache', 's'], 'stats'],
  [['imgcopy', 'completion', ''], 'bash zsh fish'],
  [['imgcopy', '--creds', ''], ''],
  [['imgcopy', 'a', 'dir', ':', '/us'], '/usr'],
];

for (const [words, offered] of completions) {
  test(`bash offers ${offered || 'nothing'} after ${words.join(' ')}`, () => {
    const script = `${completionScript('bash', program)}
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE=${JSON.stringify(words.join(' ').replaceAll(/ ([=:]) /g, '$1'))}
      COMP_POINT=\${#COMP_LINE}
      _imgcopy && echo "\${COMPREPLY[*]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' });
    assert.deepEqual([stdout.trim(), stderr], [offered, '']);
  });
}
