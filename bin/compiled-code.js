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
 * @param folder  where compiled code is kept; undefined for nowhere.
 * @param loadLater  calls a function that loads what is asked for later, with V8's flags as they are now: a file, or a module of Node.js by `late:`.
 * @returns what it exports, and `keep`, which keeps the code that this run compiled where V8's flags are then what they are now.
 */
exports.load = function load(file, folder, loadLater) {
  // Of V8's version, its flags and the processor. V8 compares those itself, and of the source its length alone.
  const tag = cachedDataVersionTag();
  const loaded = new Map();
  let takenBytes = trustedBytes();

  const loadFile = (place, compileIt) => {
    const before = loaded.get(place);
    if (before) return before.module.exports;
    const one = compileIt(() => compile(place, folder, tag));
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

  return { exports: loadFile(file, (compileNow) => compileNow()), keep };
};

function compile(file, folder, tag) {
  const source = readFileSync(file, 'latin1');
  const build = /\/\/ (\w+)\n/.exec(source.slice(0, FIRST_LINE_LENGTH))?.[1];
  const place = folder && path.join(folder, `${path.basename(file, '.cjs')}-${build}-${tag.toString(16)}`);
  const found = place && read(place);
  const isFilled = found?.length > COUNT_BYTES;
  const before = trustedBytes();
  const script = new Script(source, {
    filename: file,
    cachedData: isFilled ? found.subarray(0, -COUNT_BYTES) : undefined,
  });
  const takenBytes = trustedBytes() - before;
  const isTaken = isFilled && !script.cachedDataRejected;
  return { script, build, place, found, isTaken, takenBytes, module: { exports: {} } };
}

/** @param isMuch  whether the run compiled more than what every start compiles of Node's own code. */
function keepCode({ script, place, found, isTaken }, isMuch) {
  if (!place) return;
  // The first run may be the only one, as in CI: it leaves an empty file, which the next one fills.
  if (!found) {
    write(place, '');
    return removeOld(path.dirname(place));
  }
  if (isTaken && !isMuch) return;
  const count = getHeapCodeStatistics().bytecode_and_metadata_size;
  if (isTaken && count - found.readUInt32LE(found.length - COUNT_BYTES) < WORTH_KEEPING_BYTES) return;
  const countBytes = Buffer.alloc(COUNT_BYTES);
  countBytes.writeUInt32LE(count);
  write(place, Buffer.concat([script.createCachedData(), countBytes]));
}

function trustedBytes() {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'trusted_space')?.space_used_size ?? 0;
}

/** The bytes of a file that this user wrote: others could have us run anything. */
function read(place) {
  let file;
  try {
    file = openSync(place, 'r');
    return fstatSync(file).uid === (process.geteuid?.() ?? 0) ? readFileSync(file) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
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
