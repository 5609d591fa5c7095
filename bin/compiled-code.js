const {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} = require('node:fs');
const path = require('node:path');
const { cachedDataVersionTag, getHeapCodeStatistics, getHeapSpaceStatistics } = require('node:v8');
const { Script } = require('node:vm');

// What Node's own compile cache does, but for one thing: it keeps what is compiled before a program runs, without the functions that are compiled
// when they are first called. Those are more than half.

/** Where a run had so much more code than the one that kept it, all is kept anew, which takes 15 ms. */
const WORTH_KEEPING_BYTES = 60_000;
/** A start compiles 150 to 220 KB into V8's trusted space, of Node's own code. To look there takes 0.1 ms, to count all code 3 ms. */
const COMPILED_BY_START_BYTES = 300_000;
/** At most. */
const FIRST_LINE_LENGTH = 120;
/** Kept files end with how much code there was. */
const COUNT_BYTES = 4;
/** Kept files that nobody wrote for so long are removed: most are of older versions. The others are kept anew. */
const KEPT_MS = 90 * 24 * 3_600_000;
/** V8 forgets the code of functions that were not called for a while, so a long run may no longer have what a start needs. */
const LONGEST_RUN_SECONDS = 10;

/**
 * Loads a file that is the function of a CommonJS module. It requires nothing but modules of Node.js, and files of the same kind beside it. The first
 * line of each names the build.
 *
 * @param folders  where compiled code is looked for: `own`, where this user's runs keep it, and then `shared`, where `imgcopy cache compile` put it.
 * Undefined for nowhere.
 * @param loadLater  calls a function that loads what is asked for later, with V8's flags as they are now: a file, or a module of Node.js by `late:`.
 * @returns what it exports, `keep`, which keeps the code that this run compiled where V8's flags are then what they are now, and `share`, which writes it
 * to a folder in place of that.
 */
exports.load = function load(file, folders, loadLater) {
  // Of V8's version, its flags and the processor. V8 compares those itself, and of the source its length alone.
  const tag = cachedDataVersionTag();
  const loaded = new Map();
  let takenBytes = trustedBytes();

  const loadFile = (place, compileIt) => {
    const before = loaded.get(place);
    if (before) return before.module.exports;
    const one = compileIt(() => compile(place, folders, tag));
    const [first = one] = loaded.values();
    if (one.build !== first.build) throw first.module.exports['src/cli/main.ts']().programReplaced();
    loaded.set(place, one);
    takenBytes += one.takenBytes;
    const { script, module } = one;
    const requireIt = (name) => {
      if (name.startsWith('./')) return loadFile(path.join(path.dirname(place), name), loadLater);
      return name.startsWith('late:') ? loadLater(() => require(name.slice('late:'.length))) : require(name);
    };
    script.runInThisContext()(module.exports, requireIt, module, place, path.dirname(place));
    return module.exports;
  };

  const keep = () => {
    if (tag !== cachedDataVersionTag() || process.uptime() > LONGEST_RUN_SECONDS) return;
    const isMuch = trustedBytes() - takenBytes > COMPILED_BY_START_BYTES;
    for (const one of loaded.values()) keepCode(one, isMuch);
  };

  const share = (folder) => {
    if (tag !== cachedDataVersionTag()) throw new Error("V8's flags are others than when the program began");
    for (const { script, shared } of loaded.values()) writeFileSync(path.join(folder, shared), codeOf(script));
  };

  return { exports: loadFile(file, (compileNow) => compileNow()), keep, share };
};

function compile(file, folders, tag) {
  const source = readFileSync(file, 'latin1');
  const build = /\/\/ (\w+)\n/.exec(source.slice(0, FIRST_LINE_LENGTH))?.[1];
  const name = `${path.basename(file, '.cjs')}-${build}`;
  const place = folders.own && path.join(folders.own, `${name}-${tag.toString(16)}`);
  const own = place && read(place, isOurs);
  // V8's tag names the processor as well, and images are run on others than where they were built. Bytecode is the same on all of them: that of Node's own
  // modules is part of its executable. V8 compares its version and its flags itself.
  const shared = `${name}-${process.version}-${process.arch}`;
  // Nobody is asked for who wrote it: whoever can write there can replace the program.
  const found = own?.length > COUNT_BYTES ? own : folders.shared && read(path.join(folders.shared, shared), () => true);
  const isFilled = found?.length > COUNT_BYTES;
  const before = trustedBytes();
  const script = new Script(source, {
    filename: file,
    cachedData: isFilled ? found.subarray(0, -COUNT_BYTES) : undefined,
  });
  const takenBytes = trustedBytes() - before;
  const isTaken = isFilled && !script.cachedDataRejected;
  return { script, build, place, shared, own, found, isTaken, takenBytes, module: { exports: {} } };
}

/** @param isMuch  whether the run compiled more than what every start compiles of Node's own code. */
function keepCode({ script, place, own, found, isTaken }, isMuch) {
  if (!place) return;
  if (isTaken && !(isMuch && countCode() - found.readUInt32LE(found.length - COUNT_BYTES) >= WORTH_KEEPING_BYTES))
    return;
  if (own) return write(place, codeOf(script));
  // The first run may be the only one, as in CI: it leaves an empty file, which the next one fills.
  write(place, '');
  removeOld(path.dirname(place));
}

function codeOf(script) {
  const count = Buffer.alloc(COUNT_BYTES);
  count.writeUInt32LE(countCode());
  return Buffer.concat([script.createCachedData(), count]);
}

function countCode() {
  return getHeapCodeStatistics().bytecode_and_metadata_size;
}

function trustedBytes() {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'trusted_space')?.space_used_size ?? 0;
}

/** The bytes of a file, where its owner's number passes. */
function read(place, isOwner) {
  let file;
  try {
    file = openSync(place, 'r');
    return isOwner(fstatSync(file).uid) ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Code that others wrote could have us run anything. */
function isOurs(uid) {
  return uid === (process.geteuid?.() ?? 0);
}

/** Removes what was kept long ago. In this folder may be other things, which stay. */
function removeOld(folder) {
  try {
    for (const name of readdirSync(folder)) {
      const file = path.join(folder, name);
      if (/^[a-z]+-[0-9a-f]{16}-[0-9a-f]+(?:\.\d+)?$/.test(name) && statSync(file).mtimeMs < Date.now() - KEPT_MS)
        rmSync(file);
    }
  } catch {
    // The next version tries again.
  }
}

/** Replaces a file as a whole. Where that fails, nothing is kept: a full disk is no reason for a copy to fail. */
function write(place, bytes) {
  const fresh = `${place}.${process.pid}`;
  try {
    mkdirSync(path.dirname(place), { recursive: true, mode: 0o700 });
    writeFileSync(fresh, bytes, { mode: 0o600, flag: 'wx' });
    renameSync(fresh, place);
  } catch {
    try {
      rmSync(fresh, { force: true });
    } catch {
      // A folder that may not be written to.
    }
  }
}
