import type { IncomingMessage, ServerResponse } from 'node:http';
import { Auth } from './auth.ts';
import { handleStoredBlob } from './blobs.ts';
import { Exchange } from './exchange.ts';
import { ConnectionGone, FaultRules } from './faults.ts';
import { Listener, type Connection } from './listener.ts';
import { defaultSettings, type RegistryOptions } from './options.ts';
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
  readonly #tls: RegistryOptions['tls'];
  #listeners: Readonly<Record<RequestRecord['server'], Listener>> | undefined;

  constructor({ tls, auth, ...settings }: RegistryOptions) {
    this.#tls = tls;
    const urlOf = (server: RequestRecord['server']): string => this.listener(server).url;
    this.state = {
      settings: { ...defaultSettings, ...settings },
      store: new Store(),
      sessions: new UploadSessions(),
      redirects: new Redirects(() => urlOf('storage')),
      urlOf,
    };
    this.auth = auth === undefined ? undefined : new Auth(auth, () => urlOf('registry'));
  }

  async listen(): Promise<void> {
    const listen = async (server: RequestRecord['server']): Promise<Listener> =>
      await Listener.listen(this.#tls, (request, response, connection) => {
        void this.#serve(server, request, response, connection);
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
    server: RequestRecord['server'],
    request: IncomingMessage,
    response: ServerResponse,
    connection: Connection,
  ): Promise<void> {
    const { log, state } = this;
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

  async #answerRegistry(exchange: Exchange): Promise<void> {
    const { auth } = this;
    const isToken = auth !== undefined && exchange.url.pathname === '/token';
    const route = routeOf(exchange);
    if (!isToken && auth !== undefined && !(await auth.admit(exchange, route?.needs ?? []))) return;
    if (await exchange.misbehave(this.rules.meet(exchange.record))) return;
    if (isToken) return await auth.handleToken(exchange);
    if (route === undefined) return await exchange.answer(404, {}, Buffer.from('404 page not found\n'));
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
