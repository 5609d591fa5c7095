// A process of its own that holds a cache, an upload state or a lock, and does what it is told over IPC.
import { DatabaseSync } from 'node:sqlite';
import { openBlobInfoCache } from '../../src/cache/sqlite-cache.ts';
import { openUploadState } from '../../src/cache/upload-state.ts';
import { digestNamed } from './scratch.ts';

/** A state that nobody holds would be closed with the garbage, and its claims with it. */
const claiming: unknown[] = [];
const [homeDir = ''] = process.argv.slice(2);
const location = { registry: 'registry.test', repository: `app-${process.pid}` };
const warnings: string[] = [];
const user = { env: {}, homeDir, onWarning: (message: string) => warnings.push(message) };

const commands: Record<string, (argument: string) => unknown> = {
  lock: (path) => new DatabaseSync(path).exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE'),
  /** Records facts for names separated by commas, in a cache of its own. */
  record: async (names) => {
    using cache = await openBlobInfoCache(user);
    for (const name of names.split(',')) {
      const digest = digestNamed(name);
      cache.candidateLocations2(location.registry, digest, { canSubstitute: true });
      cache.recordKnownLocation(digest, location);
    }
  },
  /** Notes a session for a blob, and keeps its state open. */
  remember: async (name) => {
    const state = await openUploadState(user);
    claiming.push(state);
    const session = { size: 50_000_000, location: '/upload/of-a-process', offset: 0 };
    return state.remember({ registry: 'registry.test', repository: 'app', digest: digestNamed(name), ...session });
  },
  /** Claims all sessions for a blob, and keeps its state open: they stay its own as long as it lives. */
  claim: async (name) => {
    const state = await openUploadState(user);
    claiming.push(state);
    const target = { registry: 'registry.test', repository: 'app', digest: digestNamed(name) };
    const taken: string[] = [];
    for (let upload = state.claim(target); upload !== undefined; upload = state.claim(target)) {
      taken.push(upload.location);
    }
    return taken;
  },
};

process.on('message', ([command = '', argument = '']: readonly string[]) => {
  void (async () => {
    const result = await commands[command]?.(argument);
    process.send?.({ result, warnings });
  })();
});
