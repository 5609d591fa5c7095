import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build } from 'esbuild';
import { root } from './dist.js';

// Puts the command line into a few CommonJS files, dependencies included: to find and load 190 modules one by one takes longer than
// everything else that a copy with nothing to do has to do. Measured on Node.js 24, CPU time of such a copy over `node -e 0`:
// 233 ms as modules, 131 ms as a bundle of ES modules, 104 ms as one of CommonJS, whose built-in modules load without a facade.
//
// A few files and not one, because V8 parses a file as a whole. A file has the `modules` that its patterns match. Any other module is in the first
// file whose `entries` import it, directly or not; what is left, because it is only imported on demand, is in the last.
//
// A module of another file is taken from there by `require('./FILE.cjs')`: when something of it is first used, where that is a later file. So a static
// import of what most runs do not need costs nothing.

const START = 'src/cli/main.ts';
const FILES = [
  // A copy between registries that finds all in place.
  {
    name: 'imgcopy',
    entries: [
      START,
      'src/cli/copy-command.ts',
      'src/copy/copy-image.ts',
      'src/transports/registry/registry-access.ts',
      'src/transports/registry/registry-source.ts',
      'src/transports/registry/registry-destination.ts',
      'src/auth/find-credentials.ts',
      'src/registries/find-registries-conf.ts',
      'src/registries/configured-endpoint.ts',
      'node_modules/undici/lib/api/api-request.js',
      'node_modules/undici/lib/dispatcher/agent.js',
    ],
  },
  // What it needs where blobs are to be copied.
  {
    name: 'blobs',
    modules: [
      /^src\/partial\/(?!plan\/old-layers)/,
      /^src\/http\/ranges\//,
      /^src\/transports\/registry\/upload\/(?:upload|upload-session|assembled-upload|chunk)\.ts$/,
      /^src\/copy\/(?:blob-set|copy-blob|copy-manifest|copy-referrers|image-blobs|manifest-tree|referrers|source-parts)\.ts$/,
    ],
    entries: [
      'src/cache/sqlite-cache.ts',
      'src/cache/upload-state.ts',
      'src/cache/no-cache.ts',
      'src/copy/layer-content.ts',
      'src/transports/registry/read/foreign-layer.ts',
    ],
  },
  // Images on a disk.
  {
    name: 'disk',
    entries: [
      'src/transports/dir/dir-source.ts',
      'src/transports/dir/dir-destination.ts',
      'src/transports/oci/oci-source.ts',
      'src/transports/oci/oci-destination.ts',
      'src/transports/archive/open-archive.ts',
      'src/transports/archive/archive-form.ts',
      'src/transports/archive/archive-source.ts',
      'src/transports/archive/archive-destination.ts',
      'src/transports/archive/archive-file.ts',
      'src/transports/archive/archive-stream.ts',
      'src/transports/archive/named-pipe.ts',
      'src/transports/archive/layout-image.ts',
      'src/transports/archive/docker-image.ts',
    ],
  },
  // Progress for people.
  { name: 'terminal', entries: ['src/cli/progress/terminal-progress.ts'] },
  {
    name: 'others',
    modules: [
      /^node_modules\/undici\/lib\/llhttp\/llhttp-wasm/,
      /^node_modules\/commander\/lib\/(?:help|suggestSimilar)/,
      /^src\/library\/(?:login|inspect-image)/,
    ],
  },
];

/** They take 5 and 1.5 ms to load. */
const LATE_BUILTINS = /^node:(?:crypto|fs\/promises)$/;

const [folder = 'dist'] = process.argv.slice(2);
const options = {
  absWorkingDir: root,
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
};

const modules = await readModules();
const exportsOf = await readExports();
const fileOf = assignFiles();
const codes = [];
for (const { name } of FILES) codes.push(await bundle(name));
// Each file is a function, as Node.js makes one of a CommonJS module. Its first line names this build: bin/compiled-code.js neither takes compiled
// code of another one, nor mixes the files of two.
const version = createHash('sha256').update(codes.join('')).digest('hex').slice(0, 16);
const wrapped = (code) => `(function (exports, require, module, __filename, __dirname) { // ${version}\n${code}\n})\n`;
mkdirSync(folder, { recursive: true });
FILES.forEach(({ name }, index) => writeFileSync(join(folder, `${name}.cjs`), wrapped(codes[index])));

/** All modules by their path, and what each imports. */
async function readModules() {
  const { metafile } = await build({
    ...options,
    entryPoints: [START],
    outdir: folder,
    metafile: true,
    plugins: [withoutUnused(), lateBuiltins()],
  });
  return new Map(Object.entries(metafile.inputs).filter(([path]) => !/^(?:unused|late):/.test(path)));
}

/** @returns the name of each module's file. */
function assignFiles() {
  const all = [...modules.keys()];
  const assigned = new Map();
  for (const { name, modules: patterns = [] } of FILES) {
    for (const pattern of patterns) {
      const matching = all.filter((path) => pattern.test(path));
      if (matching.length === 0) throw new Error(`no module matches ${pattern}`);
      for (const path of matching) assigned.set(path, name);
    }
  }
  const reached = new Set();
  const reach = (path, name) => {
    if (reached.has(path) || (assigned.get(path) ?? name) !== name) return;
    reached.add(path);
    assigned.set(path, name);
    for (const { path: imported } of importsOf(path, (kind) => kind !== 'dynamic-import')) reach(imported, name);
  };
  for (const { name, entries = all } of FILES) {
    for (const path of entries) {
      if (!modules.has(path)) throw new Error(`no module imports ${path}`);
      reach(path, name);
    }
    for (const path of all) if (assigned.get(path) === name) reach(path, name);
  }
  return assigned;
}

function importsOf(path, isWanted = () => true) {
  return modules.get(path).imports.filter(({ path: imported, kind }) => modules.has(imported) && isWanted(kind));
}

/** What the ES modules export. */
async function readExports() {
  const paths = [...modules.keys()].filter((path) => modules.get(path).format === 'esm');
  const { metafile } = await build({
    ...options,
    format: 'esm',
    entryPoints: paths,
    outdir: folder,
    outbase: root,
    metafile: true,
    plugins: [
      {
        name: 'one-by-one',
        setup(esbuild) {
          esbuild.onResolve({ filter: /.*/ }, ({ path, kind }) =>
            kind === 'entry-point' ? undefined : { path, external: true },
          );
        },
      },
    ],
  });
  return new Map(Object.values(metafile.outputs).map(({ entryPoint, exports }) => [entryPoint, exports]));
}

function isLater(file, than) {
  return FILES.findIndex(({ name }) => name === file) > FILES.findIndex(({ name }) => name === than);
}

/** @returns the text of a file. */
async function bundle(name) {
  // What others import of it.
  const wanted = [...modules.keys()].filter((path) => fileOf.get(path) !== name).flatMap((path) => importsOf(path));
  const exported = new Set(wanted.map(({ path }) => path).filter((path) => fileOf.get(path) === name));
  exported.forEach(refuseDefaultExport);
  if (fileOf.get(START) === name) exported.add(START);
  const lines = [...exported].map((path) => `${JSON.stringify(path)}: () => require(${JSON.stringify(`./${path}`)}),`);
  const { outputFiles } = await build({
    ...options,
    stdin: { contents: `module.exports = {\n${lines.join('\n')}\n};`, resolveDir: root },
    outfile: join(folder, `${name}.cjs`),
    plugins: [withoutUnused(), lateBuiltins(), fromOtherFiles(name)],
  });
  const [{ text }] = outputFiles;
  return name === 'imgcopy' || name === 'blobs' ? compiledAtOnce(text) : text;
}

/** To what imports it from another file, a module is one of CommonJS, and Node.js' default export of those is all that they export. */
function refuseDefaultExport(path) {
  if (modules.get(path).format !== 'esm') return;
  const hasDefault = /^export default |\bas default\b/m.test(readFileSync(join(root, path), 'utf8'));
  if (hasDefault) throw new Error(`${path} has a default export, and is imported from another file of the bundle`);
}

/**
 * Puts the function of each module in parentheses, by which V8 knows that it will be called. Otherwise it parses the function twice: once to
 * find its end, and again when it is called.
 */
function compiledAtOnce(text) {
  const lines = text.split('\n');
  lines.forEach((line, index) => {
    if (!/= __(?:esm|commonJS)\(/.test(line)) return;
    const [, path, parameters] = /^  (".*")(\(.*\)) \{$/.exec(lines[index + 1]) ?? [];
    const end = lines.findIndex((one, at) => at > index + 1 && one === '  }' && lines[at + 1] === '});');
    if (path === undefined || end === -1) throw new Error(`esbuild writes modules otherwise than expected: ${line}`);
    lines[index + 1] = `  ${path}: (function${parameters} {`;
    lines[end] = '  })';
  });
  return lines.join('\n');
}

/** Takes modules that are in other files than this one from there. */
function fromOtherFiles(name) {
  const seen = Symbol('seen');
  return {
    name: 'from-other-files',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^[^:]+$/ }, async ({ path, pluginData, namespace, ...where }) => {
        if (namespace === 'elsewhere') return { path, external: true };
        if (pluginData === seen) return undefined;
        const resolved = await esbuild.resolve(path, { ...where, pluginData: seen });
        const module = relative(root, resolved.path);
        const file = fileOf.get(module) ?? name;
        return file === name ? resolved : { path: module, namespace: 'elsewhere', pluginData: file };
      });
      esbuild.onLoad({ filter: /.*/, namespace: 'elsewhere' }, ({ path, pluginData: file }) => {
        const module = `require('./${file}.cjs')[${JSON.stringify(path)}]()`;
        if (!isLater(file, name) || !exportsOf.has(path)) return { contents: `module.exports = ${module};` };
        return { contents: lateModule(module, exportsOf.get(path)) };
      });
    },
  };
}

/** Loads some built-in modules when something of theirs is first used, and not with the modules that import them: bin/compiled-code.js knows `late:`. */
function lateBuiltins() {
  return {
    name: 'late-builtins',
    setup(esbuild) {
      esbuild.onResolve({ filter: LATE_BUILTINS }, ({ path }) => ({ path, namespace: 'late' }));
      esbuild.onResolve({ filter: /^late:/ }, ({ path }) => ({ path, external: true }));
      esbuild.onLoad({ filter: /.*/, namespace: 'late' }, ({ path }) => ({
        contents: lateModule(`require('late:${path}')`, Object.keys(process.getBuiltinModule(path))),
      }));
    },
  };
}

/** A module that loads another one when something of it is first used. */
function lateModule(module, names) {
  const getters = names.map((name) => `get ${name}() { return load().${name}; },`);
  return `let loaded;\nconst load = () => (loaded ??= ${module});\nmodule.exports = {\n${getters.join('\n')}\n};`;
}

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
  const leftOut = /undici.lib.(?:dispatcher.client-h2|web.fetch.(?:body|formdata)|web.webidl.index)\.js$/;
  return {
    name: 'without-unused',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^node:(http2|http|child_process|assert)$/ }, ({ path, importer }) => {
        const isPackage = /node_modules.(undici|commander)\b/.test(importer);
        return isPackage ? { path: path.slice('node:'.length), namespace: 'unused' } : undefined;
      });
      esbuild.onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({ contents: builtins[path] }));
      esbuild.onLoad({ filter: leftOut }, () => ({ contents: 'module.exports = undefined;' }));
    },
  };
}
