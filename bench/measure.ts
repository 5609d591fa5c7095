import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export interface Measurement {
  /** Wall time, from the start of the process to its end. */
  readonly seconds: number;
  /** User and system time, of the process and of those that it waited for. */
  readonly cpuSeconds: number;
  /** The largest resident set; nothing under about 10 MB is seen, for that is the measuring process's own. */
  readonly peakBytes: number;
}

export interface MeasureOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  /** Put before what is measured, and not measured itself. */
  readonly within?: readonly string[] | undefined;
}

const wrapper = fileURLToPath(new URL('measure.py', import.meta.url));

/**
 * Runs a command to its end and measures it. The figures come from the kernel's accounts of that one process (wait4): Node.js
 * does not hand them out, sampling /proc misses what a short process does last, and GNU time rounds to 10 ms.
 *
 * @throws Error with what the command printed, when its exit status is not 0 or it takes too long.
 */
export async function measure(command: readonly string[], options: MeasureOptions): Promise<Measurement> {
  const [program = '', ...args] = [...(options.within ?? []), 'python3', '-I', '-S', wrapper, ...command];
  const child = spawn(program, args, {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    detached: true,
  });
  // Its own process group, so that a command that hangs goes with its wrapper.
  const killer = setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), options.timeoutMs);
  const [output, errors, report] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    text(child.stdio[3] as Readable),
    once(child, 'close'),
  ]);
  clearTimeout(killer);
  const { status, ...measurement } = JSON.parse(report || '{}') as Partial<Measurement> & { status?: number };
  if (status !== 0)
    throw new Error(`${command.join(' ')}: ended with ${status ?? 'no status in time'}\n${output}${errors}`);
  return measurement as Measurement;
}
