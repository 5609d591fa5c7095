import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, runImgcopy } from '../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { checked, commandLine, commandOutput, table } from './printing.ts';

/** The registries and the folder that the demo copies between. To be disposed of. */
export interface Stage extends AsyncDisposable {
  readonly source: TestRegistry;
  readonly mirror: TestRegistry;
  /** Where the commands run. */
  readonly folder: string;
}

export async function openStage(): Promise<Stage> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-demo-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const [source, mirror] = [undo.use(await startRegistry()), undo.use(await startRegistry())];
  const opened = undo.move();
  return { source, mirror, folder, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/**
 * Shows a command, runs it and shows what it printed; the registries count afresh from its beginning.
 *
 * @param maxWidth  longer lines are shown as far as this, in characters.
 * @returns its standard output.
 * @throws Error when it fails.
 */
export async function perform(stage: Stage, args: readonly string[], maxWidth?: number): Promise<string> {
  const { source, mirror, folder } = stage;
  for (const registry of [source, mirror]) registry.reset();
  commandLine(args);
  const { status, signal, stdout, stderr } = await runImgcopy(args, {
    env: { ...process.env, XDG_CACHE_HOME: '', XDG_STATE_HOME: '', HOME: join(folder, 'home') },
    cwd: folder,
    file: bundle,
  });
  commandOutput(stderr + stdout, maxWidth);
  if (status !== 0) throw new Error(`imgcopy ended with ${signal ?? `status ${status}`}`);
  await Promise.all([source.idle(), mirror.idle()]);
  return stdout;
}

/** What a registry has counted since the command began. */
export interface Counted {
  readonly requests: number;
  /** Of layers and configs, in bytes: sent as answers, and received as uploads. */
  readonly blobBytes: number;
}

export function countedBy(registry: TestRegistry): Counted {
  const blobs = registry.select({ path: /\/blobs\// });
  return {
    requests: registry.count(),
    blobBytes: blobs.reduce((sum, { bytesSent, bodyBytes }) => sum + bytesSent + bodyBytes, 0),
  };
}

/** Shows what the registries counted that the command spoke to. */
export function showCounts({ source, mirror }: Stage): void {
  const rows = [
    { name: 'the source', ...countedBy(source) },
    { name: 'the mirror', ...countedBy(mirror) },
  ];
  const asked = rows.filter(({ requests }) => requests > 0);
  table([
    ['counted by', 'requests', 'bytes of blobs'],
    ...asked.map(({ name, requests, blobBytes }) => [name, requests, blobBytes]),
  ]);
}

/** Says what holds. @throws Error when it does not. */
export function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`this does not hold: ${what}`);
  checked(what);
}
