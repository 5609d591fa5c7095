import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Option } from 'commander';
import { createProgram } from '../../src/cli/program.ts';

const program = createProgram(new AbortController().signal);

function helpOf(name?: string, columns: number = 80): string {
  const command = name === undefined ? program : program.commands.find((one) => one.name() === name);
  assert.ok(command !== undefined);
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => columns });
  command.outputHelp();
  return help;
}

for (const name of program.commands.map((command) => command.name())) {
  test(`the help of ${name} has all its options, each with a description`, () => {
    const help = helpOf(name);
    const { options = [] } = program.commands.find((command) => command.name() === name) ?? {};
    for (const { flags, description } of options) {
      assert.ok(help.includes(flags), flags);
      assert.notEqual(description, '', flags);
    }
  });
}

test('the help of the program has its commands, and the options of copy but those for one side', () => {
  const help = helpOf();
  for (const command of program.commands) assert.match(help, new RegExp(`^ {2}${command.name()}\\b`, 'm'));
  const { options = [] } = program.commands.find((command) => command.name() === 'copy') ?? {};
  for (const { long = '', flags } of options) {
    if (!/^--(?:src|dest)-/.test(long)) assert.ok(help.includes(flags), flags);
  }
});

for (const columns of [60, 80, 200]) {
  test(`help keeps within ${Math.min(columns, 120)} columns of a terminal of ${columns}`, () => {
    const width = Math.max(
      ...helpOf('copy', columns)
        .split('\n')
        .map((line) => line.length),
    );
    assert.ok(width <= Math.max(80, Math.min(columns, 120)), `${width}`);
  });
}

test('no two options of copy share a name', () => {
  const { options = [] } = program.commands.find((command) => command.name() === 'copy') ?? {};
  const names = options.flatMap(({ short, long }) => [short, long]).filter((name) => name !== undefined);
  assert.equal(new Set(names).size, names.length);
});

test('every option of copy has its variable, and so has inspect --json', () => {
  const optionsOf = (name: string): readonly Option[] =>
    program.commands.find((command) => command.name() === name)?.options ?? [];
  const options = [...optionsOf('copy'), ...optionsOf('inspect').filter(({ long }) => long === '--json')];
  for (const { long = '', envVar } of options)
    assert.equal(envVar, `IMGCOPY_${long.slice('--'.length).toUpperCase().replaceAll('-', '_')}`);
});
