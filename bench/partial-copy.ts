import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CopyResult } from '../src/index.ts';
import { measure, type Measurement } from './measure.ts';
import { imgcopy, type CopyJob } from './peers.ts';

export interface Copying {
  readonly job: CopyJob;
  /** Where its cache and its state are, and what it prints is kept. */
  readonly home: string;
  /** Default: none. */
  readonly flags?: readonly string[];
}

/** A copy that came to its end, by what it says itself. */
export interface FinishedCopy extends Measurement {
  readonly result: CopyResult;
}

const timeoutMs = 2 * 60_000;
const compiledCode = fileURLToPath(new URL('.work/compiled', import.meta.url));

// The shell outlives a copy that is killed, and what it waited for counts in its own figures. It is small: the peak is the copy's.
const script = '"$@" >"$0/result" 2>"$0/errors" & echo $! >"$0/pid"; wait $!; echo $? >"$0/status"';

/**
 * Runs imgcopy, as built, to its end.
 * @throws Error with what it printed, when its exit status is not 0.
 */
export async function runCopy(copying: Copying): Promise<FinishedCopy> {
  const folder = await mkdtemp(join(copying.home, 'run-'));
  const measurement = await measureIn(folder, copying);
  const status = await printed(folder, 'status');
  if (status !== '0') throw new Error(`imgcopy ended with ${status}\n${await printed(folder, 'errors')}`);
  return { ...measurement, result: JSON.parse(await printed(folder, 'result')) as CopyResult };
}

/**
 * Runs imgcopy and kills it (SIGKILL) as soon as a moment has come.
 * @param moment  is to stop waiting when its signal is aborted.
 * @throws Error when the copy ends before.
 */
export async function killCopy(copying: Copying, moment: (signal: AbortSignal) => Promise<void>): Promise<Measurement> {
  const folder = await mkdtemp(join(copying.home, 'run-'));
  const over = new AbortController();
  const measured = measureIn(folder, copying).finally(() => over.abort());
  const killed = moment(over.signal).then(
    async () => process.kill(Number(await printed(folder, 'pid')), 'SIGKILL'),
    (error: unknown) => {
      if (!over.signal.aborted) throw error;
    },
  );
  await Promise.race([measured, killed]);
  const measurement = await measured;
  const status = await printed(folder, 'status');
  if (status === '137') return measurement;
  throw new Error(`imgcopy ended with ${status} before it was killed\n${await printed(folder, 'errors')}`);
}

async function measureIn(folder: string, { job, home, flags = [] }: Copying): Promise<Measurement> {
  const command = [...imgcopy.command(job), '--json', ...flags];
  const env = { PATH: process.env['PATH'], HOME: home, CI: 'true', NODE_COMPILE_CACHE: compiledCode };
  return await measure(['/bin/sh', '-c', script, folder, ...command], { env, timeoutMs });
}

async function printed(folder: string, name: string): Promise<string> {
  return (await readFile(join(folder, name), 'utf8')).trim();
}
