import assert from 'node:assert/strict';
import { createServer, request as ask } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { buildImage } from '../support/images.ts';
import { listen } from '../support/http-servers.ts';
import { startRegistry } from '../support/registry.ts';
import { openHome, TestCopier } from './test-copier.ts';

const image = buildImage({ layers: { count: 4, size: 6 * 1024 * 1024 } });

/**
 * A proxy that passes a request on when it has all of its body, and closes each connection after a second answer without having said so.
 */
async function startBufferingProxy(t: TestContext): Promise<{ readonly port: number; readonly closed: () => number }> {
  const answers = new WeakMap<object, number>();
  let closed = 0;
  const proxy = createServer((request, response) => {
    const { socket, method = '', url = '', headers } = request;
    void buffer(request).then((body) => {
      const onward = ask(url, { method, headers: { ...headers, connection: 'close' } }, (answer) => {
        const { connection: _, 'keep-alive': __, ...kept } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, kept);
        answer.pipe(response);
        const count = (answers.get(socket) ?? 0) + 1;
        answers.set(socket, count);
        response.on('finish', () => {
          if (count < 2) return;
          closed += 1;
          socket.end();
        });
      });
      onward.on('error', () => socket.destroy()).end(body);
    });
  });
  return { port: await listen(t, proxy), closed: () => closed };
}

test('survives a proxy that buffers uploads and closes connections that are idle', { timeout: 60_000 }, async (t) => {
  const home = await openHome(t);
  const proxy = await startBufferingProxy(t);
  await using from = await startRegistry();
  await using to = await startRegistry();
  from.seed('app', '1', image);
  const env = { ...home.env, HTTP_PROXY: `http://127.0.0.1:${proxy.port}` };
  await using copier = new TestCopier(home, { env });
  // No loopback address, though it leads to this machine.
  const at = ({ host }: { readonly host: string }, name: string): string =>
    `docker://0.0.0.0:${host.split(':')[1]}/${name}`;
  await copier.copy(at(from, 'app:1'), at(to, 'copy:1'));
  assert.deepEqual(to.manifest('copy', '1'), image.manifest);
  assert.ok(proxy.closed() > 0);
  assert.equal(to.count({ method: 'PATCH', path: /copy/ }) > 0, true);
});
