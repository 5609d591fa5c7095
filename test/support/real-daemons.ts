import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { requireTool, runTool } from './real-tools.ts';

/** A daemon of its own, and the tool that speaks to it. */
export interface RealDaemon extends AsyncDisposable {
  /** Runs the tool. @returns its standard output. */
  readonly run: (...args: string[]) => Promise<string>;
}

/** Starts docker, without networks. Where it is missing, the test is skipped: see requireTool. */
export async function startDocker(t: TestContext): Promise<RealDaemon | undefined> {
  const [docker, dockerd] = [requireTool(t, 'docker'), requireTool(t, 'dockerd')];
  if (docker === undefined || dockerd === undefined) return undefined;
  const folder = await daemonFolder(t);
  const socket = join(folder, 'docker.sock');
  const places = [
    '--data-root',
    `${folder}/data`,
    '--exec-root',
    `${folder}/exec`,
    '--pidfile',
    `${folder}/docker.pid`,
  ];
  const plainly = ['--storage-driver', 'vfs', '--iptables=false', '--bridge=none', '--containerd-namespace', 'imgcopy'];
  const daemon = await startDaemon(dockerd, ['-H', `unix://${socket}`, ...places, ...plainly], socket);
  return Object.assign(daemon, {
    run: async (...args: string[]) => (await runTool(docker, ['-H', `unix://${socket}`, ...args])).stdout,
  });
}

/** Starts containerd, whose images `run` is about. Where it is missing, the test is skipped: see requireTool. */
export async function startContainerd(t: TestContext): Promise<RealDaemon | undefined> {
  const [ctr, containerd] = [requireTool(t, 'ctr'), requireTool(t, 'containerd')];
  if (ctr === undefined || containerd === undefined) return undefined;
  const folder = await daemonFolder(t);
  const socket = join(folder, 'containerd.sock');
  const config = join(folder, 'config.toml');
  await writeFile(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n');
  const places = ['--root', `${folder}/root`, '--state', `${folder}/state`, '--address', socket];
  const daemon = await startDaemon(containerd, ['--config', config, ...places], socket);
  return Object.assign(daemon, {
    run: async (...args: string[]) => (await runTool(ctr, ['-a', socket, 'images', ...args])).stdout,
  });
}

async function daemonFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-daemon-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a daemon, and waits for its socket. Disposed of, it has ended: what it has mounted is free then. */
async function startDaemon(path: string, args: readonly string[], socket: string): Promise<AsyncDisposable> {
  const daemon = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  daemon.stderr.on('data', (bytes: Buffer) => (log += String(bytes)));
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()));
  while (!existsSync(socket)) {
    if (daemon.exitCode !== null) throw new Error(`${path} ended: ${log.slice(-2000)}`);
    await sleep(50);
  }
  return {
    async [Symbol.asyncDispose]() {
      daemon.kill('SIGTERM');
      await ended;
    },
  };
}
