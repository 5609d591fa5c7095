import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setFlagsFromString } from 'node:v8';
import type { CopyEvent } from '../index.ts';

/** On which undici tells of a connection that it is about to open. */
const CONNECTING = 'undici:client:beforeConnect';

/**
 * Sets V8's flags for undici's parser, which is WebAssembly, when the first connection is about to be opened. Not sooner: once a flag has changed, V8
 * refuses the compiled code that Node.js has of its own modules, and parses the source of each that is loaded from then on. Those that nearly all
 * runs need are loaded by then.
 *
 * --wasm-tiering-budget: it is not compiled again by V8's optimizing compiler after a few answers. That takes 26 ms of CPU and 9 to 22 MB, the process
 * does not end before it is done, and large copies are no faster for it (Node.js 22 and 24).
 *
 * --wasm-lazy-validation: its functions are validated when they are first called. All at once, V8 waits for its worker threads, 50 ms and more where the
 * processors are busy.
 */
export function prepareForParser(): void {
  const prepare = (message: unknown): void => {
    unsubscribe(CONNECTING, prepare);
    const { protocol } = (message as { readonly connectParams: { readonly protocol: string } }).connectParams;
    if (protocol === 'https:') process.getBuiltinModule('node:tls');
    setFlag('--wasm-tiering-budget=2000000000');
    setFlag('--wasm-lazy-validation');
    for (const compiler of OPTIMIZING) setFlag(`--no-${compiler}`);
  };
  subscribe(CONNECTING, prepare);
}

/** Sets V8's flags back to their defaults: V8 takes compiled code only where the flags are the same as when it was made. */
export function restoreFlags(): void {
  for (const flag of DEFAULTS) setFlagsFromString(flag);
}

/** Does some work while the flags are at their defaults: V8 takes the compiled code that Node.js has of its modules only then. */
export function withDefaultFlags<T>(work: () => T): T {
  restoreFlags();
  try {
    return work();
  } finally {
    for (const flag of set.values()) setFlagsFromString(flag);
  }
}

/** What is set, by the flags' names. */
const set = new Map<string, string>();

function setFlag(flag: string): void {
  set.set(flag.replace(/^--(?:no-)?|=.*$/g, ''), flag);
  setFlagsFromString(flag);
}

/**
 * Keeps the heap's young generation as small as it is. Bodies pass as buffers outside the heap, which are freed when the young generation
 * is collected: the smaller it is, the sooner. Peak memory of a copy of 1 GB: 174 MB without this, 126 MB with it (Node.js 24).
 */
export function keepYoungGenerationSmall(): void {
  setFlag('--semi-space-growth-factor=1');
}

/** Node.js 22 leaves Maglev off, so that there is nothing to turn on again. */
const OPTIMIZING: readonly string[] =
  Number.parseInt(process.versions.node) >= 24 && /^(?:x64|arm64)$/.test(process.arch)
    ? ['maglev', 'turbofan']
    : ['turbofan'];
/** Of all flags that are set here. In Node.js 22, to turn TurboFan off turns --osr-from-maglev off as well. */
const DEFAULTS: readonly string[] = [
  ...OPTIMIZING.map((compiler) => `--${compiler}`),
  ...(OPTIMIZING.includes('maglev') ? [] : ['--osr-from-maglev']),
  '--wasm-tiering-budget=13000000',
  '--no-wasm-lazy-validation',
  '--semi-space-growth-factor=2',
  '--incremental-marking',
];
/** From so much work on, in bytes of blobs, optimized code is worth what it takes to compile it. */
const MUCH_WORK = 48 * 1024 * 1024;
/** The requests for a blob, as so many bytes. */
const WORK_A_BLOB = 128 * 1024;

/**
 * Turns V8's optimizing compilers on once there is much to copy; they are off from the first connection. For 60 layers of 100 KB they take 0.06 to 0.09 s of
 * CPU of 0.8 s, and 8 MB. With 1 GB, all is slower without them (Node.js 24).
 */
export class OptimizingControl {
  readonly #setFlags: (flags: string) => void;
  #work = 0;

  constructor(setFlags: (flags: string) => void = setFlag) {
    this.#setFlags = setFlags;
  }

  /** To be told of every event of a copy. */
  show(event: CopyEvent): void {
    if (event.type !== 'blob-started' || this.#work >= MUCH_WORK) return;
    this.#work += event.size + WORK_A_BLOB;
    if (this.#work >= MUCH_WORK) for (const compiler of OPTIMIZING) this.#setFlags(`--${compiler}`);
  }
}

/**
 * Turns incremental marking off while one large blob is all that moves, and comes as one stream. V8 takes the buffers that pass for growth of its heap,
 * and would mark all of that 45 to 90 times in 1 GB over TLS: 0.5 to 0.8 s of CPU (Node.js 22 and 24). Where many buffers live at a time, the marking keeps
 * memory low.
 */
export class MarkingControl implements Disposable {
  readonly #setFlags: (flags: string) => void;
  readonly #moving = new Set<string>();
  readonly #streams = new Set<string>();
  #isOff = false;

  constructor(setFlags: (flags: string) => void = setFlag) {
    this.#setFlags = setFlags;
  }

  /** To be told of every event of a copy. */
  show(event: CopyEvent): void {
    if (event.type === 'blob-started') this.#moving.add(event.digest);
    else if (event.type === 'blob-done') this.#moving.delete(event.digest);
    else if (event.type === 'blob-stream' && event.isOpen) this.#streams.add(event.digest);
    else if (event.type === 'blob-stream') this.#streams.delete(event.digest);
    else return;
    this.#turn(this.#moving.size === 1 && this.#streams.size === 1);
  }

  [Symbol.dispose](): void {
    this.#turn(false);
  }

  #turn(isOff: boolean): void {
    if (isOff === this.#isOff) return;
    this.#isOff = isOff;
    this.#setFlags(isOff ? '--no-incremental-marking' : '--incremental-marking');
  }
}
