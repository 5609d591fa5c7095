const { enableCompileCache } = require('node:module');
const path = require('node:path');
const { connectEarly } = require('./early-connections.js');

// CommonJS, as the bundle is: Node's loader of ES modules takes 3 ms for these files.

const { HOME, NODE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
const userCache = [XDG_CACHE_HOME, HOME && `${HOME}/.cache`].find((folder) => folder && path.isAbsolute(folder));
// Not in the shared temporary directory, Node's default: whoever can write there could hand us compiled code.
const compiled = NODE_COMPILE_CACHE || (userCache && `${userCache}/imgcopy/compiled`);
if (compiled) enableCompileCache(compiled);

exports.run = async function run(argv) {
  await connectEarly(argv, process.env);
  const { main } = require('../dist/imgcopy.cjs');
  process.exitCode = await main(argv);
};
