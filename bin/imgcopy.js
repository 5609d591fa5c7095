#!/usr/bin/env node
// The syntax here is that of old versions of Node.js, so that they get as far as saying that they are too old.
const needed = [22, 19];
const found = process.versions.node.split('.').map(Number);

if (found[0] < needed[0] || (found[0] === needed[0] && found[1] < needed[1])) {
  process.stderr.write(
    `imgcopy: needs Node.js ${needed.join('.')} or newer, and this is ${process.versions.node}\n` +
      '  hint: install a newer Node.js, or put it first in PATH\n',
  );
  process.exitCode = 2;
} else {
  const { run } = require('./run.js');
  void run(process.argv.slice(2));
}
