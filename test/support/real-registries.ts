import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Certificate } from './certificate.ts';
import { realTool, requireTool } from './real-tools.ts';

/** A registry of others' making, on 127.0.0.1, empty when it starts. */
export interface RealRegistry {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** `http://127.0.0.1:port`, or https. */
  readonly url: string;
  /** As the program says it, without a leading v: `2.8.2+ds1`. */
  readonly version: string;
  /** What it logs, a line a request included; gone once it is stopped. */
  readonly logFile: string;
  /** What it stores lies below it. */
  readonly folder: string;
  /** Ends it and deletes what it stored. Again is harmless. */
  stop(): Promise<void>;
}

/** A kind of real registry that is installed. */
export interface RealRegistryKind {
  readonly name: string;
  readonly start: (t: TestContext) => Promise<RealRegistry>;
}

export interface RealRegistryOptions {
  /** What it speaks TLS with; this process has to trust it. */
  readonly tls?: Certificate | undefined;
  /** The URL of a registry that it is a pull-through cache of. */
  readonly proxyOf?: string | undefined;
}

const distribution2 = 'docker-registry';
const distribution3 = 'registry';
const startTimeoutMs = 20_000;

/** Debian's distribution 2.8, until the end of the test. Undefined, and the test skipped, where it is not installed. */
export async function startDistribution2(
  t: TestContext,
  options: RealRegistryOptions = {},
): Promise<RealRegistry | undefined> {
  return await startForTest(t, distribution2, options);
}

/** The CNCF's distribution 3, until the end of the test. Undefined, and the test skipped, where it is not installed. */
export async function startDistribution3(
  t: TestContext,
  options: RealRegistryOptions = {},
): Promise<RealRegistry | undefined> {
  return await startForTest(t, distribution3, options);
}

/**
 * The kinds that are installed, to make one test for each.
 * @throws where one is missing and IMGCOPY_REQUIRE_REAL=1, as in CI.
 */
export function realRegistries(): readonly RealRegistryKind[] {
  const kinds = [
    { name: 'distribution 2.8', program: distribution2 },
    { name: 'distribution 3', program: distribution3 },
  ];
  return kinds
    .filter(({ program }) => isInstalled(program))
    .map(({ name, program }) => ({ name, start: (t) => startUntilEnd(t, program) }));
}

/**
 * Starts a registry that lives until its `stop`, or until this process ends.
 *
 * @param program  path or name of distribution's executable, 2.8 or 3.
 * @throws Error with its log, when it does not serve within 20 seconds.
 */
export async function startRealRegistry(program: string, options: RealRegistryOptions = {}): Promise<RealRegistry> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-registry-'));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const logFile = join(folder, 'log');
  const child = await serve(program, folder, { logFile, ...options });
  undo.defer(() => end(child));
  try {
    const host = await listeningHost(child, logFile);
    const url = `${options.tls === undefined ? 'http' : 'https'}://${host}`;
    await answers(`${url}/v2/`);
    const started = undo.move();
    return { host, url, version: versionOf(program), logFile, folder, stop: () => started.disposeAsync() };
  } catch (error) {
    throw new Error(`${program} does not serve:\n${await readFile(logFile, 'utf8')}`, { cause: error });
  }
}

async function startForTest(
  t: TestContext,
  name: string,
  options: RealRegistryOptions,
): Promise<RealRegistry | undefined> {
  const program = requireTool(t, name);
  return program === undefined ? undefined : await startUntilEnd(t, program, options);
}

async function startUntilEnd(
  t: TestContext,
  program: string,
  options: RealRegistryOptions = {},
): Promise<RealRegistry> {
  const registry = await startRealRegistry(realTool(program) ?? program, options);
  t.after(() => registry.stop());
  return registry;
}

function isInstalled(program: string): boolean {
  if (realTool(program) !== undefined) return true;
  if (process.env['IMGCOPY_REQUIRE_REAL'] === '1')
    throw new Error(`${program} is required by IMGCOPY_REQUIRE_REAL=1, and not installed`);
  return false;
}

async function serve(
  program: string,
  folder: string,
  { logFile, tls, proxyOf }: RealRegistryOptions & { readonly logFile: string },
): Promise<ChildProcess> {
  const files = { certificate: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  if (tls !== undefined) {
    await writeFile(files.certificate, tls.cert);
    await writeFile(files.key, tls.key);
  }
  const config = {
    version: '0.1',
    log: { level: 'info' },
    storage: {
      filesystem: { rootdirectory: join(folder, 'storage') },
      cache: { blobdescriptor: 'inmemory' },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    ...(proxyOf !== undefined && { proxy: { remoteurl: proxyOf } }),
    http: { addr: '127.0.0.1:0', secret: 'not a secret', ...(tls !== undefined && { tls: files }) },
  };
  const configFile = join(folder, 'config.yml');
  // JSON is YAML.
  await writeFile(configFile, JSON.stringify(config));
  await using log = await open(logFile, 'w');
  // Without this, distribution 3 sends traces to an OpenTelemetry collector on this machine, and complains that there is none.
  const env = { ...process.env, OTEL_TRACES_EXPORTER: 'none' };
  const child = spawn(program, ['serve', configFile], { env, stdio: ['ignore', log.fd, log.fd] });
  await once(child, 'spawn');
  const killWithUs = (): boolean => child.kill();
  process.once('exit', killWithUs);
  child.once('exit', () => process.off('exit', killWithUs));
  return child;
}

/** The registry picks its port itself, so that no other process can take it in between, and tells it in its log. */
async function listeningHost(child: ChildProcess, logFile: string): Promise<string> {
  const deadline = performance.now() + startTimeoutMs;
  while (child.exitCode === null && performance.now() < deadline) {
    const found = /listening on (127\.0\.0\.1:\d+)/.exec(await readFile(logFile, 'utf8'));
    if (found?.[1] !== undefined) return found[1];
    await sleep(10);
  }
  throw new Error(child.exitCode === null ? 'no port in its log' : `it ended with status ${child.exitCode}`);
}

async function answers(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(startTimeoutMs) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`GET ${url}: ${response.status}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exited;
  clearTimeout(impatience);
}

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /\sv?(\d\S*)\s*$/.exec(stdout)?.[1] ?? stdout.trim();
}
