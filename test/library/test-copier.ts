import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  createCopier,
  type BlobOutcome,
  type Copier,
  type CopierOptions,
  type CopyEvent,
  type CopyOptions,
  type CopyPlan,
  type CopyResult,
  type EndpointOptions,
} from '../../src/index.ts';
import type { TestRegistry } from '../support/registry.ts';

/** A user's directories, which go away with the test. */
export interface TestHome {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
}

export async function openHome(t: TestContext): Promise<TestHome> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-library-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  const env = { HOME: path, XDG_CACHE_HOME: join(path, 'cache'), XDG_STATE_HOME: join(path, 'state') };
  return { path, env };
}

/** A copier that copies by http, waits little before it tries again, and notes what it reports. To be disposed of. */
export class TestCopier implements AsyncDisposable {
  readonly #copier: Copier;
  readonly #endpoint: EndpointOptions;
  /** Of all copies. */
  readonly events: CopyEvent[] = [];
  readonly warnings: string[] = [];

  constructor(home: TestHome, options: CopierOptions & { readonly endpoint?: EndpointOptions | undefined } = {}) {
    const { endpoint = {}, ...others } = options;
    const onWarning = (message: string): void => void this.warnings.push(message);
    this.#copier = createCopier({ env: home.env, retryDelayMs: 1, onWarning, ...others });
    this.#endpoint = { plainHttp: true, ...endpoint };
  }

  /** Copies; the endpoint's options of both sides are those of the copier, where none are given. */
  async copy(source: string, destination: string, options: CopyOptions = {}): Promise<CopyResult> {
    const onEvent = (event: CopyEvent): void => {
      this.events.push(event);
      options.onEvent?.(event);
    };
    const endpoints = { source: this.#endpoint, destination: this.#endpoint };
    return await this.#copier.copy(source, destination, { ...endpoints, ...options, onEvent });
  }

  /** Plans a copy; the endpoint's options as for a copy. */
  async plan(source: string, destination: string, options: CopyOptions = {}): Promise<CopyPlan> {
    const endpoints = { source: this.#endpoint, destination: this.#endpoint };
    return await this.#copier.plan(source, destination, { ...endpoints, ...options });
  }

  async tags(repository: string): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const tag of this.#copier.tags(repository, { endpoint: this.#endpoint })) found.push(tag);
    return found;
  }

  /** What became of each blob of all copies, in order. */
  get outcomes(): readonly BlobOutcome[] {
    return this.events.flatMap((event) => (event.type === 'blob-done' ? [event.outcome] : []));
  }

  /** The messages of all warning events. */
  get reported(): readonly string[] {
    return this.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#copier[Symbol.asyncDispose]();
  }
}

/** An image of a test registry, e.g. `app:v1`. */
export function at(registry: TestRegistry, name: string): string {
  return `docker://${registry.host}/${name}`;
}
