import { handleBlob } from './blobs.ts';
import type { Access } from './auth.ts';
import type { Exchange } from './exchange.ts';
import { listReferrers, listTags } from './listings.ts';
import { handleManifest } from './manifests.ts';
import type { RegistryState } from './state.ts';
import { handleUpload, startUpload } from './uploads.ts';

type Handler = (exchange: Exchange, registry: RegistryState, name: string, operand: string) => Promise<void>;

/** What a request asks for. */
export interface Route {
  /** What it must be allowed to do. */
  readonly needs: readonly Access[];
  readonly handle: (exchange: Exchange, registry: RegistryState) => Promise<void>;
}

const ENDPOINTS: readonly { readonly path: RegExp; readonly methods: readonly string[]; readonly handler: Handler }[] =
  [
    { path: /^\/v2\/(.+)\/manifests\/([^/]+)$/, methods: ['GET', 'HEAD', 'PUT', 'DELETE'], handler: handleManifest },
    { path: /^\/v2\/(.+)\/blobs\/uploads\/$/, methods: ['POST'], handler: startUpload },
    {
      // Some registries keep uploads below another path.
      path: /^(?:\/[a-z-]+)?\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/,
      methods: ['GET', 'PATCH', 'PUT', 'DELETE'],
      handler: handleUpload,
    },
    { path: /^\/v2\/(.+)\/blobs\/([^/]+)$/, methods: ['GET', 'HEAD', 'DELETE'], handler: handleBlob },
    { path: /^\/v2\/(.+)\/tags\/list$/, methods: ['GET'], handler: listTags },
    { path: /^\/v2\/(.+)\/referrers\/([^/]+)$/, methods: ['GET'], handler: listReferrers },
  ];

/** @returns undefined for what is no endpoint of the distribution specification. */
export function routeOf(exchange: Exchange): Route | undefined {
  const { pathname } = exchange.url;
  if (pathname === '/v2/' || pathname === '/v2')
    return { needs: [], handle: async () => await exchange.answerJson({}) };
  for (const { path, methods, handler } of ENDPOINTS) {
    const [, name, operand = ''] = path.exec(pathname) ?? [];
    if (name === undefined) continue;
    if (!methods.includes(exchange.method)) {
      return { needs: [], handle: async () => await exchange.fail(405, 'UNSUPPORTED', 'the operation is unsupported') };
    }
    return {
      needs: accessOf(exchange, name),
      handle: async (_, registry) => await handler(exchange, registry, name, operand),
    };
  }
  return undefined;
}

/** As distribution asks for it: DELETE, of an upload session too, needs `delete`; a mount needs `pull` on where it mounts from. */
function accessOf(exchange: Exchange, repository: string): readonly Access[] {
  const { method } = exchange;
  if (method === 'DELETE') return [{ repository, actions: ['delete'] }];
  if (method === 'GET' || method === 'HEAD') return [{ repository, actions: ['pull'] }];
  const from = exchange.query('from');
  const push = { repository, actions: ['pull', 'push'] };
  return from === undefined || from === repository ? [push] : [push, { repository: from, actions: ['pull'] }];
}
