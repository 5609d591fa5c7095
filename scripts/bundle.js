import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './dist.js';

// Puts the command line into one CommonJS file, dependencies included: to find and load 190 modules one by one takes longer than
// everything else that a copy with nothing to do has to do. Measured on Node.js 24, CPU time of such a copy over `node -e 0`:
// 233 ms as modules, 131 ms as a bundle of ES modules, 104 ms as one of CommonJS, whose built-in modules load without a facade.

const [folder = 'dist'] = process.argv.slice(2);

const { outputFiles } = await build({
  entryPoints: [join(root, 'src/cli/main.ts')],
  outfile: join(folder, 'imgcopy.cjs'),
  write: false,
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node22.19',
  // A built-in module that is imported on demand comes by require(): Node.js's loader of ES modules takes some ms for it.
  supported: { 'dynamic-import': false },
  logLevel: 'warning',
  // `esbuildDetection` is how undici is told to leave its experimental parser out, as Node.js does.
  define: { 'import.meta.url': '__moduleUrl', esbuildDetection: 'true' },
  banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [withoutUnused()],
});
// The first line tells bin/compiled-code.js which compiled code is of these contents.
const [{ contents, text }] = outputFiles;
const version = createHash('sha256').update(contents).digest('hex').slice(0, 16);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'imgcopy.cjs'), `// ${version}\n${text}`);

/**
 * Leaves out what takes its time to load or to parse, and of which the bundled packages use next to nothing. Built-in modules: HTTP/2 (13 ms), which is
 * never spoken; node:http (7 ms), of which undici asks for the default header size and a class that our bodies never are; node:assert, of which
 * undici needs a function; and node:child_process, with which commander would start subcommands that are programs of their own. Of undici: HTTP/2,
 * and bodies that are made with fetch's classes, of which ours are none.
 */
function withoutUnused() {
  const builtins = {
    http2: 'module.exports = { constants: {} };',
    http: 'module.exports = { IncomingMessage: class {}, maxHeaderSize: 16384, STATUS_CODES: {} };',
    child_process: 'module.exports = {};',
    assert: `
      module.exports = (value, message = 'assertion failed') => {
        if (!value) throw message instanceof Error ? message : new Error(message);
      };`,
  };
  const modules = /undici.lib.(?:dispatcher.client-h2|web.fetch.(?:body|formdata)|web.webidl.index)\.js$/;
  return {
    name: 'without-unused',
    setup(bundle) {
      bundle.onResolve({ filter: /^node:(http2|http|child_process|assert)$/ }, ({ path, importer }) => {
        const isPackage = /node_modules.(undici|commander)\b/.test(importer);
        return isPackage ? { path: path.slice('node:'.length), namespace: 'unused' } : undefined;
      });
      bundle.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({ contents: builtins[path] }));
      bundle.onLoad({ filter: modules }, () => ({ contents: 'module.exports = undefined;' }));
    },
  };
}
