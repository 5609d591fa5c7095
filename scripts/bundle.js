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
  plugins: [withoutHttp2()],
});

/** HTTP/2 is never spoken, and undici does without the module where Node.js was built without it; it takes 13 ms to load. */
function withoutHttp2() {
  return {
    name: 'without-http2',
    setup(bundle) {
      bundle.onResolve({ filter: /^node:http2$/ }, () => ({ path: 'http2', namespace: 'absent' }));
      bundle.onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'module.exports = { constants: {} };' }));
    },
  };
}
