const path = require('node:path');
const { load } = require('./compiled-code.js');
const { connectEarly } = require('./early-connections.js');

// CommonJS, as the bundle is: Node's loader of ES modules takes 3 ms for these files.

const { HOME, NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
const userCache = [XDG_CACHE_HOME, HOME && `${HOME}/.cache`].find((folder) => folder && path.isAbsolute(folder));
// Not in the shared temporary directory, Node's default: whoever can write there could hand us compiled code.
const compiled = NODE_DISABLE_COMPILE_CACHE
  ? undefined
  : NODE_COMPILE_CACHE || (userCache && `${userCache}/imgcopy/compiled`);

exports.run = async function run(argv) {
  await connectEarly(argv, process.env);
  // V8 takes kept code only where its flags are what they were when the code was made, and the program sets some.
  const loadLater = (loadIt) => command.withDefaultFlags(loadIt);
  const program = load(path.join(__dirname, '../dist/imgcopy.cjs'), compiled, loadLater);
  const command = program.exports['src/cli/main.ts']();
  process.exitCode = await command.main(argv);
  if (process.exitCode !== 0) return;
  command.restoreFlags();
  program.keep();
  // Not by process.exit(), which is 2 to 15 ms faster: node:tls reads certificates in a thread, and where that is under way Node.js may crash.
  // https://github.com/nodejs/node/pull/59632
};
