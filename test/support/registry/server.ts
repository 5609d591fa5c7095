import type { IncomingMessage, ServerResponse } from 'node:http';
import { Auth } from './auth.ts';
import { handleStoredBlob } from './blobs.ts';
import { Exchange } from './exchange.ts';
import { ConnectionGone, FaultRules } from './faults.ts';
import { Listener, type Connection } from './listener.ts';
import { defaultSettings, type PublicNames, type RegistryOptions } from './options.ts';
import { Redirects } from './redirects.ts';
import { RequestLog, type RequestRecord } from './request-log.ts';
import { routeOf } from './routes.ts';
import type { RegistryState } from './state.ts';
import { Store } from './store.ts';
import { UploadSessions } from './upload-sessions.ts';

const STORED_BLOB = /^\/storage\/(.+)\/([^/]+)$/;

/** The two origins of a registry, and what becomes of a request to them. */
export class RegistryServer {
  readonly state: RegistryState;
  readonly log: RequestLog = new RequestLog();
  readonly rules: FaultRules = new FaultRules();
  readonly auth: Auth | undefined;
  readonly names: RegistryOptions['names'];
  readonly #tls: RegistryOptions['tls'];
  #listeners: Readonly<Record<RequestRecord['server'], Listener>> | undefined;

  constructor({ tls, auth, names, ...settings }: RegistryOptions) {
    this.#tls = tls;
    this.names = names;
    const urlOf = (server: RequestRecord['server']): string =>
      names === undefined ? this.listener(server).url : `http://${hostIn(names, server)}`;
    this.state = {
      settings: { ...defaultSettings, ...settings },
      store: new Store(),
      sessions: new UploadSessions(),
      redirects: new Redirects(() => urlOf('storage')),
      urlOf,
    };
    const exists = (repository: string): boolean => this.state.store.find(repository) !== undefined;
    this.auth = auth === undefined ? undefined : new Auth(auth, () => urlOf('registry'), exists);
  }

  async listen(): Promise<void> {
    const listen = async (server: RequestRecord['server']): Promise<Listener> =>
      await Listener.listen(this.#tls, {
        onRequest: (request, response, connection) => void this.#serve(server, request, response, connection),
        onClosed: () => this.log.changed(),
      });
    this.#listeners = { registry: await listen('registry'), storage: await listen('storage') };
  }

  listener(server: RequestRecord['server']): Listener {
    if (this.#listeners === undefined) throw new Error('the registry does not listen yet');
    return this.#listeners[server];
  }

  async close(): Promise<void> {
    await Promise.all([this.listener('registry').close(), this.listener('storage').close()]);
  }

  async #serve(
    listener: RequestRecord['server'],
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection,
  ): Promise<void> {
    const { log, state } = this;
    const server = this.#named(request) ?? listener;
    const record = log.open(request, { server, connection: connection.id });
    const exchange = new Exchange({ request, response, connection, record, log, settings: state.settings });
    try {
      await (server === 'registry' ? this.#answerRegistry(exchange) : this.#answerStorage(exchange));
      await exchange.readAtLeast(Infinity);
    } catch (error) {
      if (error instanceof ConnectionGone) return;
      // A mistake of the registry's own, or of a test's hook: shown to who asked.
      process.stderr.write(`test registry: ${record.method} ${record.path}: ${(error as Error).stack}\n`);
      if (!response.headersSent) response.writeHead(500);
      response.end((error as Error).stack);
    }
  }

  /** Who is meant by a request that came through `proxyUrl`. */
  #named({ url = '' }: IncomingMessage): RequestRecord['server'] | undefined {
    const host = URL.parse(url)?.host;
    return host === undefined ? undefined : host === this.names?.storage ? 'storage' : 'registry';
  }

  async #answerRegistry(exchange: Exchange): Promise<void> {
    const { auth } = this;
    const isToken = auth !== undefined && isAt(auth.realm, exchange);
    const route = routeOf(exchange);
    if (!isToken && auth !== undefined && !(await auth.admit(exchange, route?.needs ?? []))) return;
    if (await exchange.misbehave(this.rules.meet(exchange.record))) return;
    if (isToken) return await auth.handleToken(exchange);
    if (route === undefined) return await exchange.answer(404, {}, Buffer.from('404 page not found\n'));
    const isRead = exchange.method === 'GET' || exchange.method === 'HEAD';
    if (this.state.settings.redirectsAll && isRead)
      return await exchange.answer(307, { location: `${this.state.urlOf('storage')}${exchange.record.path}` });
    await route.handle(exchange, this.state);
  }

  /** As an object store does, the second origin takes no credentials but those in the URL. */
  async #answerStorage(exchange: Exchange): Promise<void> {
    if (exchange.record.authorization) {
      const body = '<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>';
      return await exchange.answer(400, { 'content-type': 'application/xml' }, Buffer.from(body));
    }
    if (await exchange.misbehave(this.rules.meet(exchange.record))) return;
    const [, repository, digest = ''] = STORED_BLOB.exec(exchange.url.pathname) ?? [];
    if (repository !== undefined) return await handleStoredBlob(exchange, this.state, repository, digest);
    const route = routeOf(exchange);
    if (route === undefined) return await exchange.answer(404, {}, Buffer.from('404 page not found\n'));
    await route.handle(exchange, this.state);
  }
}

function hostIn({ reference, registry = reference, storage }: PublicNames, server: RequestRecord['server']): string {
  return server === 'registry' ? registry : storage;
}

function isAt(realm: string, { url, record }: Exchange): boolean {
  const { host, pathname } = new URL(realm);
  return url.pathname === pathname && record.host === host;
}
