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
  void run();
}

async function run() {
  // Bodies pass as buffers outside the heap, which are freed when the young generation is collected: small as it starts, that is often.
  // Peak memory of a copy of 1 GB: 174 MB without this, 126 MB with it (Node.js 24).
  process.getBuiltinModule('node:v8').setFlagsFromString('--semi-space-growth-factor=1');
  keepCompiledCode();
  const { main } = await import('../dist/src/cli/main.js');
  process.exitCode = await main(process.argv.slice(2));
}

function keepCompiledCode() {
  const { HOME, NODE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
  const userCache = XDG_CACHE_HOME || (HOME && `${HOME}/.cache`);
  // Not in the shared temporary directory, Node's default: whoever can write there could hand us compiled code.
  const folder = NODE_COMPILE_CACHE || (userCache && `${userCache}/imgcopy/compiled`);
  if (folder) process.getBuiltinModule('node:module').enableCompileCache(folder);
}
