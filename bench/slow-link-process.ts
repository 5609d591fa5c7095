import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { startSlowLink, type SlowLink, type SlowLinkOptions, type Traffic } from './slow-link.ts';

// Also the child's program: a line of its own in a process of its own, so that what is measured does not wait for its timers.

/** Starts a slow link in a child process, which ends with this one at the latest. */
export async function spawnSlowLink(options: SlowLinkOptions): Promise<SlowLink> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)]);
  const [host] = (await once(child, 'message')) as [string];
  return {
    host,
    traffic: async () => {
      child.send('traffic');
      const [traffic] = (await once(child, 'message')) as [Traffic];
      return traffic;
    },
    close: async () => {
      child.disconnect();
      await once(child, 'exit');
    },
  };
}

async function serve(): Promise<void> {
  const line = await startSlowLink(JSON.parse(process.argv[2] ?? '') as SlowLinkOptions);
  process.on('message', () => void line.traffic().then((traffic) => process.send?.(traffic)));
  process.once('disconnect', () => void line.close());
  process.send?.(line.host);
}

if (import.meta.main) await serve();
