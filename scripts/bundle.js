import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './dist.js';

// Puts the command line into one CommonJS file, dependencies included: to find and load 190 modules one by one takes longer than
// everything else that a copy with nothing to do has to do. Measured on Node.js 24, CPU time of such a copy over `node -e 0`:
// 233 ms as modules, 131 ms as a bundle of ES modules, 104 ms as one of CommonJS, whose built-in modules load without a facade.

const [folder = 'dist'] = process.argv.slice(2);

await build({
  entryPoints: [join(root, 'src/cli/main.ts')],
  outfile: join(folder, 'imgcopy.cjs'),
  bundle: true,
  format: 'cjs',
  platform: 'node',
  target: 'node22.19',
  logLevel: 'warning',
  define: { 'import.meta.url': '__moduleUrl' },
  banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [withoutUnused()],
});

/**
 * Leaves out built-in modules that take their time to load, and of which the bundled packages use next to nothing: HTTP/2 (13 ms), which is
 * never spoken; node:http (7 ms), of which undici asks for the default header size and a class that our bodies never are; and
 * node:child_process, with which commander would start subcommands that are programs of their own.
 */
function withoutUnused() {
  const stubs = {
    http2: 'module.exports = { constants: {} };',
    http: 'module.exports = { IncomingMessage: class {}, maxHeaderSize: 16384, STATUS_CODES: {} };',
    child_process: 'module.exports = {};',
  };
  return {
    name: 'without-unused',
    setup(bundle) {
      bundle.onResolve({ filter: /^node:(http2|http|child_process)$/ }, ({ path, importer }) => {
        const isPackage = /node_modules.(undici|commander)\b/.test(importer);
        return isPackage ? { path: path.slice('node:'.length), namespace: 'unused' } : undefined;
      });
      bundle.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({ contents: stubs[path] }));
    },
  };
}
