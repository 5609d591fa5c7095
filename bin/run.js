const path = require('node:path');
const { load } = require('./compiled-code.js');
const { connectEarly } = require('./early-connections.js');

// CommonJS, as the bundle is: Node's loader of ES modules takes 3 ms for these files.

const { HOME, NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
const userCache = [XDG_CACHE_HOME, HOME && `${HOME}/.cache`].find((folder) => folder && path.isAbsolute(folder));
const installed = path.dirname(__dirname);

const compiled = NODE_DISABLE_COMPILE_CACHE
  ? {}
  : {
      // Not in the shared temporary directory, Node's default: whoever can write there could hand us compiled code.
      own: NODE_COMPILE_CACHE || (userCache && `${userCache}/imgcopy/compiled`),
      shared: path.join(installed, 'compiled'),
    };

exports.run = async function run(argv) {
  await connectEarly(argv, process.env);
  const { command, keep } = loadProgram(compiled);
  process.exitCode = await command.main(argv, { installed });
  if (process.exitCode !== 0) return;
  command.restoreFlags();
  keep();
  // Not by process.exit(), which is 2 to 15 ms faster: node:tls reads certificates in a thread, and where that is under way Node.js may crash.
  // https://github.com/nodejs/node/pull/59632
};

/** Loads the program without any code that was compiled before, runs it for each of these command lines, and writes the code that they needed to a folder. */
exports.compile = async function compile(folder, commandLines) {
  const { command, share } = loadProgram({});
  for (const argv of commandLines) {
    process.exitCode = await command.main(argv);
    if (process.exitCode !== 0) return;
  }
  command.restoreFlags();
  share(folder);
};

function loadProgram(folders) {
  // V8 takes kept code only where its flags are what they were when the code was made, and the program sets some.
  const loadLater = (loadIt) => command.withDefaultFlags(loadIt);
  const program = load(path.join(installed, 'dist/imgcopy.cjs'), folders, loadLater);
  const command = program.exports['src/cli/main.ts']();
  return { ...program, command };
}
