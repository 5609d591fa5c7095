// What `imgcopy cache compile` starts: compile.js FOLDER SOURCE DESTINATION...
// Copies the source to one destination after another, and writes the compiled code to the folder.
const { compile } = require('./run.js');

const [folder, source, ...destinations] = process.argv.slice(2);
void compile(
  folder,
  destinations.map((destination) => ['copy', '--plain-http', source, destination]),
);
