import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';

export interface CacheProcess {
  /** Does one thing in the process, see cache-process.ts. */
  run(command: 'lock' | 'record' | 'remember' | 'claim', argument: string): Promise<Answer>;
  end(): Promise<void>;
}

export interface Answer {
  readonly result?: unknown;
  readonly warnings: readonly string[];
}

/** Starts a process that shares a user's files with this one, and ends with the test. */
export function startProcess(t: TestContext, homeDir: string): CacheProcess {
  const child = fork(fileURLToPath(new URL('cache-process.ts', import.meta.url)), [homeDir]);
  const exited = once(child, 'exit');
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(end);
  return {
    end,
    run: async (command, argument) => {
      const answered = once(child, 'message');
      child.send([command, argument]);
      const died = exited.then(([status]) => {
        throw new Error(`the process died during ${command}: ${String(status)}`);
      });
      const [answer] = (await Promise.race([answered, died])) as [Answer];
      return answer;
    },
  };
}
