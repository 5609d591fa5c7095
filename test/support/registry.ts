import { MIN_LEFT_BYTES } from '../../src/transports/registry/upload/noted-uploads.ts';
import type { Digest } from '../../src/digest/digest.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import type { TestImage } from './images.ts';
import type { IssuedToken } from './registry/auth.ts';
import type { Rule } from './registry/faults.ts';
import type { RegistryOptions, RegistrySettings } from './registry/options.ts';
import { peakOf, type RequestMatch, type RequestRecord } from './registry/request-log.ts';
import { RegistryServer } from './registry/server.ts';
import type { UploadSession } from './registry/upload-sessions.ts';

export type { RegistryOptions, RequestMatch, RequestRecord, Rule };
export { waitsOf } from './registry/request-log.ts';

/** Starts a registry of the OCI distribution specification in this process, on a free port of 127.0.0.1. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const server = new RegistryServer(options);
  await server.listen();
  return new TestRegistry(server);
}

/** A registry for tests that open upload sessions themselves. */
export async function startLeavingRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  return await startRegistry({ leavesSessions: true, ...options });
}

/** A registry whose content, requests and faults are in the hands of a test. To be closed. */
export class TestRegistry implements AsyncDisposable {
  readonly #server: RegistryServer;
  #connectionsBefore = 0;

  constructor(server: RegistryServer) {
    this.#server = server;
  }

  /** May be changed at any time. */
  get settings(): RegistrySettings {
    return this.#server.state.settings;
  }

  /** `127.0.0.1:port`, or the name that references have for it. */
  get host(): string {
    return this.#server.names?.reference ?? this.#server.listener('registry').host;
  }

  /** The HTTP proxy that leads to the public names of this registry. */
  get proxyUrl(): string {
    return this.#server.listener('registry').url;
  }

  /** With its scheme, without a final slash. */
  get url(): string {
    return this.#server.listener('registry').url;
  }

  /** The origin that blobs are redirected to. */
  get storageUrl(): string {
    return this.#server.listener('storage').url;
  }

  /** Makes an empty repository. */
  create(repository: string): void {
    this.#server.state.store.open(repository);
  }

  /** Puts a whole image into a repository. @param tag  undefined: by digest alone. */
  seed(repository: string, tag: string | undefined, image: TestImage): void {
    const target = this.#server.state.store.open(repository);
    for (const [digest, bytes] of image.blobs) target.blobs.set(digest, bytes);
    for (const instance of image.instances) target.putManifest(instance, undefined);
    target.putManifest(image.manifest, tag);
  }

  /** Puts a blob into a repository; with `digest` under that one, be it right or wrong. */
  seedBlob(repository: string, bytes: Buffer, digest?: Digest): Digest {
    if (digest === undefined) return this.#server.state.store.open(repository).putBlob(bytes);
    this.#server.state.store.open(repository).blobs.set(digest, bytes);
    return digest;
  }

  /** Takes a blob, manifest or tag out of a repository. */
  remove(repository: string, digestOrTag: string): void {
    const target = this.#server.state.store.open(repository);
    target.blobs.delete(digestOrTag as Digest);
    target.deleteManifest(digestOrTag);
  }

  blob(repository: string, digest: Digest): Buffer | undefined {
    return this.#server.state.store.find(repository)?.blobs.get(digest);
  }

  /** Digests of all blobs of a repository, in the order they came. */
  blobs(repository: string): readonly Digest[] {
    return [...(this.#server.state.store.find(repository)?.blobs.keys() ?? [])];
  }

  /** @param reference  a tag or a digest */
  manifest(repository: string, reference: string): RawManifest | undefined {
    return this.#server.state.store.find(repository)?.manifest(reference);
  }

  tags(repository: string): readonly string[] {
    return [...(this.#server.state.store.find(repository)?.tags.keys() ?? [])];
  }

  /** The upload sessions that are open. */
  get sessions(): readonly UploadSession[] {
    return this.#server.state.sessions.list();
  }

  /** Lets all open upload sessions expire. */
  expireSessions(): void {
    for (const session of this.sessions) this.#server.state.sessions.end(session);
  }

  /** Every request since the last reset, in order of arrival; the storage origin's among them. */
  get requests(): readonly RequestRecord[] {
    return this.#server.log.records;
  }

  select(match?: RequestMatch): readonly RequestRecord[] {
    return this.#server.log.select(match);
  }

  count(match?: RequestMatch): number {
    return this.#server.log.select(match).length;
  }

  /** The largest number of these requests that were under way at once. */
  peak(match?: RequestMatch): number {
    return peakOf(this.#server.log.select(match));
  }

  /** Connections opened since the last reset, to both origins. */
  get connections(): number {
    return this.#opened - this.#connectionsBefore;
  }

  /** Tokens issued since the last reset. */
  get tokens(): readonly IssuedToken[] {
    return this.#server.auth?.issued ?? [];
  }

  /** Makes every token that was issued so far invalid. */
  revokeTokens(): void {
    this.#server.auth?.revoke();
  }

  /**
   * Orders a fault. Rules are looked at in the order they were given, once a request is past the authorization; requests of tokens
   * and of the storage origin count too.
   * @returns a function that takes the rule back.
   */
  behave(rule: Rule): () => void {
    return this.#server.rules.add(rule);
  }

  /** Takes all rules back. */
  behaveWell(): void {
    this.#server.rules.clear();
  }

  /** Resolves as soon as a condition on this registry holds; looked at whenever a request moves on. */
  async until(condition: () => boolean): Promise<void> {
    await this.#server.log.until(condition);
  }

  /** Resolves when no request is under way: the numbers of all records are final then. */
  async idle(): Promise<void> {
    await this.until(() => this.requests.every((request) => request.outcome !== 'open'));
  }

  /** Resolves when nobody is connected: no request of a process that has ended comes after that, and none is under way. */
  async disconnected(): Promise<void> {
    const listeners = [this.#server.listener('registry'), this.#server.listener('storage')];
    await this.until(() => listeners.every(({ connected }) => connected === 0));
    await this.idle();
  }

  /** Forgets requests, connections and tokens issued, as far as they are counted. Content and rules stay. */
  reset(): void {
    this.#server.log.reset();
    this.#server.auth?.reset();
    this.#connectionsBefore = this.#opened;
  }

  /** Closes the connections that no request is using. */
  closeIdleConnections(): void {
    this.#server.listener('registry').closeIdleConnections();
    this.#server.listener('storage').closeIdleConnections();
  }

  /** @throws where an upload session was left behind that no later run can go on with. */
  async close(): Promise<void> {
    const lost = this.settings.leavesSessions ? [] : this.sessions.filter(({ bytes }) => bytes < MIN_LEFT_BYTES);
    this.expireSessions();
    await this.#server.close();
    if (lost.length > 0)
      throw new Error(`left behind: ${lost.map(({ id, bytes }) => `${id} of ${bytes} bytes`).join(', ')}`);
  }

  get #opened(): number {
    return this.#server.listener('registry').opened + this.#server.listener('storage').opened;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
