const {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
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
/** Kept files end with how much code there was. */
const COUNT_BYTES = 4;
/** V8 forgets the code of functions that were not called for a while, so a long run may no longer have what a start needs. */
const LONGEST_RUN_SECONDS = 10;

/**
 * Loads a CommonJS file that requires nothing but modules of Node.js. Its first line names its contents.
 *
 * @param folder  where compiled code is kept; undefined for nowhere.
 * @returns what it exports, and `keep`, which keeps the code that this run compiled where V8's flags are then what they are now.
 */
exports.load = function load(file, folder) {
  const source = readFileSync(file, 'latin1');
  // Of V8's version, its flags and the processor. V8 compares those itself, and of the source its length alone.
  const tag = cachedDataVersionTag();
  const contents = /^\/\/ (\w+)\n/.exec(source)?.[1];
  const place = folder && contents && path.join(folder, `${contents}-${tag.toString(16)}`);
  const found = place && read(place);
  const isFilled = found?.length > COUNT_BYTES;
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
    filename: file,
    cachedData: isFilled ? found.subarray(0, -COUNT_BYTES) : undefined,
  });
  const loadedBytes = trustedBytes();
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, file, path.dirname(file));
  const keep = () => {
    if (!place || tag !== cachedDataVersionTag() || process.uptime() > LONGEST_RUN_SECONDS) return;
    // The first run may be the only one, as in CI: it leaves an empty file, which the next one fills.
    if (!found) return write(place, '');
    const isTaken = isFilled && !script.cachedDataRejected;
    if (isTaken && trustedBytes() - loadedBytes < COMPILED_BY_START_BYTES) return;
    const count = getHeapCodeStatistics().bytecode_and_metadata_size;
    if (isTaken && count - found.readUInt32LE(found.length - COUNT_BYTES) < WORTH_KEEPING_BYTES) return;
    const countBytes = Buffer.alloc(COUNT_BYTES);
    countBytes.writeUInt32LE(count);
    write(place, Buffer.concat([script.createCachedData(), countBytes]));
  };
  return { exports: module.exports, keep };
};

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
