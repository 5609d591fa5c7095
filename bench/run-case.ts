import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRealRegistry } from '../test/support/real-registries.ts';
import { realTool } from '../test/support/real-tools.ts';
import type { BenchCase, Layout } from './cases.ts';
import type { Medians, Run } from './goals.ts';
import { pushImage, type ImagePlan } from './images.ts';
import { measure } from './measure.ts';
import {
  bareCopy,
  bareNode,
  imgcopy,
  imgcopyIn,
  synced,
  type CopyJob,
  type CopyTool,
  type LocalPlace,
} from './peers.ts';
import { pushLayout, tagDigest, type Repository } from './push.ts';
import { openTlsNames, type TlsNames } from './tls-names.ts';
import { spawnSlowLink } from './slow-link-process.ts';
import type { SlowLink } from './slow-link.ts';

export interface CaseOptions {
  readonly rounds: number;
  readonly tools: readonly CopyTool[];
  /** Called after every run. */
  readonly onRun: (tool: string, run: Run) => void;
}

export interface CaseResult {
  readonly runs: Readonly<Record<string, readonly Run[]>>;
  readonly medians: Medians;
}

const longLine = { roundTripMs: 80, bytesPerSecondPerConnection: 12e6 };
const runTimeoutMs = 10 * 60_000;
const tag = 'app';
const compiledCode = fileURLToPath(new URL('.work/compiled', import.meta.url));

/**
 * Runs the tools of a case in turn, a round of all after the other, each round beginning with another tool. Each run starts cold: a
 * destination registry of its own, connections of its own, an empty home, so no cache and no compiled code where the case does not say so. The source's pages are in memory.
 *
 * @throws Error when a tool fails, or leaves another image at the destination than the source's.
 */
export async function runCase(benchCase: BenchCase, options: CaseOptions): Promise<CaseResult> {
  const chosen = toolsOf(benchCase, options.tools);
  if (chosen.length === 0) return { runs: {}, medians: {} };

  await using undo = new AsyncDisposableStack();
  const compiled = benchCase.compiled && chosen.includes(imgcopy) ? await installCompiled(undo) : imgcopy;
  const tools = chosen.map((tool) => (tool === imgcopy ? compiled : tool));
  const names = benchCase.tls ? undo.use(await openTlsNames()) : undefined;
  const registry = await startRegistry(undo, names);
  const digest = await push({ url: registry.url, name: 'source' }, benchCase.image);
  const line = benchCase.longLine === 'none' ? undefined : await startLine(undo, registry.host);
  const host = named(line?.host ?? registry.host, names?.source);
  const reference = `${host}/source:${tag}`;
  const place = await storeOnDisk(undo, benchCase, reference);
  const source: Source = { reference, place, line, digest, names };

  // The second run keeps its compiled code.
  if (benchCase.warm) for (const tool of [...tools, ...tools]) await runOnce(benchCase, tool, source);
  const runs: Record<string, Run[]> = {};
  const rounds = Math.min(options.rounds, benchCase.maxRounds ?? Infinity);
  for (let round = 0; round < rounds; round += 1) {
    const first = round % tools.length;
    for (const tool of [...tools.slice(first), ...tools.slice(0, first)]) {
      const run = await runOnce(benchCase, tool, source);
      if (run === undefined) continue;
      (runs[tool.name] ??= []).push(run);
      options.onRun(tool.name, run);
    }
  }
  return { runs, medians: Object.fromEntries(Object.entries(runs).map(([name, all]) => [name, medianRun(all)])) };
}

interface Source {
  /** As the tools name it, through the slow link where there is one. */
  readonly reference: string;
  /** Where it is read instead, on the disk. */
  readonly place: LocalPlace | undefined;
  readonly line: SlowLink | undefined;
  readonly digest: string;
  readonly names: TlsNames | undefined;
}

/** @returns undefined where the tool cannot do it. */
async function runOnce(benchCase: BenchCase, tool: CopyTool, source: Source): Promise<Run | undefined> {
  await using undo = new AsyncDisposableStack();
  const home = await mkdtemp(join(tmpdir(), 'imgcopy-bench-'));
  undo.defer(() => rm(home, { recursive: true, force: true }));
  const { names } = source;
  const registry = await startRegistry(undo, names);
  const repository: Repository = { url: registry.url, name: 'destination' };
  if (benchCase.before !== undefined)
    await push(repository, benchCase.before === 'the same' ? benchCase.image : benchCase.before);
  const line = benchCase.longLine === 'both' ? await startLine(undo, registry.host) : undefined;

  const job: CopyJob = {
    tls: names !== undefined,
    source: source.place ?? source.reference,
    destination:
      placeOf(benchCase.destination, join(home, 'image')) ??
      (benchCase.destination === 'folder'
        ? { folder: join(home, 'image') }
        : { registry: `${named(line?.host ?? registry.host, names?.destination)}/destination:${tag}` }),
  };
  if (tool.can?.(job) === false) return undefined;
  const sentBefore = (await source.line?.traffic())?.down ?? 0;
  const command = tool.command(job);
  // What is there before is not the tool's.
  if (benchCase.synced) execFileSync('sync', ['-f', home]);
  const measurement = await measure(benchCase.synced ? synced(command, home) : command, {
    env: { ...coldEnvironment(home), ...(benchCase.warm && { NODE_COMPILE_CACHE: compiledCode }), ...names?.env },
    timeoutMs: runTimeoutMs,
    within: names?.within,
  });
  const sent = (await source.line?.traffic())?.down;
  const received = (await line?.traffic())?.up;

  // Of docker's archive, some compress the layers again.
  if ('registry' in job.destination && (benchCase.source !== 'docker-archive' || tool.name === 'imgcopy')) {
    const found = await tagDigest(repository, tag);
    if (found !== source.digest) throw new Error(`${tool.name} left ${found} in place of ${source.digest}`);
  }
  return {
    ...measurement,
    fromSourceBytes: sent === undefined ? undefined : sent - sentBefore,
    toDestinationBytes: received,
  };
}

function toolsOf(benchCase: BenchCase, tools: readonly CopyTool[]): readonly CopyTool[] {
  if (benchCase.tools === 'imgcopy') return tools.filter((tool) => tool === imgcopy);
  if (benchCase.tools === 'with bare copy') return [...tools.filter((tool) => tool === imgcopy), bareCopy];
  return benchCase.tools === 'with bare node' ? [...tools, bareNode] : tools;
}

/** imgcopy in a folder of its own, where it has compiled itself. Its node_modules are not needed: the bundle has all. */
async function installCompiled(undo: AsyncDisposableStack): Promise<CopyTool> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-bench-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  for (const part of ['bin', 'dist', 'package.json'])
    await cp(fileURLToPath(new URL(`../${part}`, import.meta.url)), join(folder, part), { recursive: true });
  const command = [process.execPath, join(folder, 'bin/imgcopy.js'), 'cache', 'compile'];
  await measure(command, { env: coldEnvironment(folder), timeoutMs: runTimeoutMs });
  return imgcopyIn(folder);
}

function placeOf(form: BenchCase['source'] | 'folder', path: string): LocalPlace | undefined {
  if (form === undefined || form === 'folder') return undefined;
  return form === 'pipe' ? { form: 'oci-archive', path, isPiped: true } : { form, path };
}

/** Writes the source to the disk as the case wants it. */
async function storeOnDisk(
  undo: AsyncDisposableStack,
  benchCase: BenchCase,
  reference: string,
): Promise<LocalPlace | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-bench-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const place = placeOf(benchCase.source, join(folder, 'source'));
  if (place === undefined) return undefined;
  const command = imgcopy.command({ source: reference, destination: { ...place, isPiped: false } });
  await measure(command, { env: coldEnvironment(folder), timeoutMs: runTimeoutMs });
  return place;
}

async function push(repository: Repository, image: ImagePlan | Layout): Promise<string> {
  return 'layout' in image ? await pushLayout(repository, tag, image.layout) : await pushImage(repository, tag, image);
}

async function startRegistry(
  undo: AsyncDisposableStack,
  names: TlsNames | undefined,
): Promise<{ readonly host: string; readonly url: string }> {
  // The older one speaks TLS by rules of its time.
  const name = names === undefined ? 'docker-registry' : 'registry';
  const program = realTool(name);
  if (program === undefined) throw new Error(`${name} is not installed: bench/install-peers.sh installs it`);
  const registry = await startRealRegistry(program, { tls: names?.certificate });
  undo.defer(() => registry.stop());
  return registry;
}

async function startLine(undo: AsyncDisposableStack, target: string): Promise<SlowLink> {
  const line = await spawnSlowLink({ target, ...longLine });
  undo.defer(() => line.close());
  return line;
}

/** A name in place of an address. */
function named(host: string, name: string | undefined): string {
  return name === undefined ? host : host.replace(/^[^:]+/, name);
}

/** No configuration, credentials or caches of the user, nor of a run before. */
function coldEnvironment(home: string): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: home, CI: 'true' };
}

function medianRun(runs: readonly Run[]): Run {
  const median = (pick: (run: Run) => number): number => {
    const sorted = runs.map(pick).toSorted((a, b) => a - b);
    const middle = (sorted.length - 1) / 2;
    return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
  };
  const medianIfAny = (pick: (run: Run) => number | undefined): number | undefined =>
    runs.some((run) => pick(run) === undefined) ? undefined : median((run) => pick(run) as number);
  return {
    seconds: median((run) => run.seconds),
    cpuSeconds: median((run) => run.cpuSeconds),
    peakBytes: median((run) => run.peakBytes),
    fromSourceBytes: medianIfAny((run) => run.fromSourceBytes),
    toDestinationBytes: medianIfAny((run) => run.toDestinationBytes),
  };
}
