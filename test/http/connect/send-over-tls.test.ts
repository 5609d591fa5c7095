import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { Trust, type TlsSettings } from '../../../src/http/connect/trust.ts';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import { openConnections, type ConnectionsOptions } from '../../../src/http/send/undici-send.ts';
import { writeAuthority, writeCertificates } from '../../support/certificate-files.ts';
import { selfSignedCertificate } from '../../support/certificate.ts';
import { listen, proxyTo, sayYes, serveTls, socksTo } from '../../support/http-servers.ts';

const server = selfSignedCertificate();

type GetOptions = TlsSettings & Pick<ConnectionsOptions, 'env'> & { readonly ownHost?: string };

/** The text that comes from a URL; its host is the registry's own, where no other is given. */
async function get(url: string, { env = {}, ownHost = new URL(url).host, ...tls }: GetOptions): Promise<string> {
  await using connections = openConnections({
    trust: new Trust({ env }).of(ownHost, tls),
    ownHost,
    idleTimeoutMs: 10_000,
    connections: 4,
    env,
  });
  const { body } = await connections.send({ method: 'GET', url: new URL(url), side: 'source' });
  return await text(body);
}

/** Fails as a network does, with these parts of message and hint. */
function fails(code: string, message: RegExp, hint: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof NetworkError, String(error));
    assert.deepEqual([error.code, error.side], [code, 'source']);
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    return true;
  };
}

test('refuses a certificate that nobody vouches for, and says how to trust it', async (t) => {
  const { port } = await serveTls(t, server);
  await assert.rejects(
    get(`https://127.0.0.1:${port}/`, {}),
    fails('ERR_TLS_CERTIFICATE', /127\.0\.0\.1:\d+ is self-signed/, /--src-ca-file.*--src-tls-verify=false/),
  );
});

test('sends nothing to a server whose certificate it refuses', async (t) => {
  let requests = 0;
  const { port } = await serveTls(t, server, (_, response) => {
    requests += 1;
    response.end();
  });
  await assert.rejects(get(`https://127.0.0.1:${port}/`, {}), NetworkError);
  await get(`https://127.0.0.1:${port}/`, { verify: false });
  assert.equal(requests, 1);
});

test('takes it without a check, or when its authority is given', async (t) => {
  const { port } = await serveTls(t, server);
  for (const options of [{ verify: false }, { caFile: await writeAuthority(t, server.cert) }]) {
    assert.match(await get(`https://127.0.0.1:${port}/`, options), /^yes to 127/);
  }
});

test('refuses a certificate for another name, also from an authority that was given, and names its names', async (t) => {
  const other = selfSignedCertificate(['other.test', '10.0.0.1']);
  const { port } = await serveTls(t, other);
  await assert.rejects(
    get(`https://127.0.0.1:${port}/`, { caFile: await writeAuthority(t, other.cert) }),
    fails('ERR_TLS_CERTIFICATE', /is for other names: other\.test, 10\.0\.0\.1$/, /--src-tls-verify=false/),
  );
});

test('says since when a certificate is expired, and from when on it is valid', async (t) => {
  const expired = selfSignedCertificate(undefined, { notBefore: '200101000000Z', notAfter: '210203040506Z' });
  const early = selfSignedCertificate(undefined, { notBefore: '480101000000Z', notAfter: '491231235959Z' });
  for (const [certificate, message, hint] of [
    [expired, /expired on 2021-02-03T04:05:06/, /renew/],
    [early, /not valid before 2048-01-01/, /clock/],
  ] as const) {
    const { port } = await serveTls(t, certificate);
    const sent = get(`https://127.0.0.1:${port}/`, { caFile: await writeAuthority(t, certificate.cert) });
    await assert.rejects(sent, fails('ERR_TLS_CERTIFICATE', message, hint));
  }
});

test('says that the server does not speak TLS', async (t) => {
  const port = await listen(t, createServer(sayYes));
  const sent = get(`https://127.0.0.1:${port}/`, {});
  await assert.rejects(sent, fails('ERR_TLS', /the server does not speak TLS$/, /--src-plain-http/));
});

test('shows its own certificate where the server asks for one', async (t) => {
  const mine = selfSignedCertificate(['client.test']);
  const { port } = await serveTls(t, { ...server, requestCert: true, rejectUnauthorized: true, ca: mine.cert });
  const files = { 'ca.crt': server.cert, 'mine.cert': mine.cert, 'mine.key': mine.key };
  const url = `https://127.0.0.1:${port}/`;
  assert.match(await get(url, { certDir: await writeCertificates(t, files) }), /^yes/);
});

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`says that the server wants a client certificate (${version})`, async (t) => {
    const mine = selfSignedCertificate(['client.test']);
    const asking = {
      requestCert: true,
      rejectUnauthorized: true,
      ca: mine.cert,
      minVersion: version,
      maxVersion: version,
    };
    const { port } = await serveTls(t, { ...server, ...asking });
    const caFile = await writeAuthority(t, server.cert);
    const sent = get(`https://127.0.0.1:${port}/`, { caFile });
    await assert.rejects(sent, fails('ERR_TLS_CLIENT_CERTIFICATE', /wants? a client certificate/, /--src-cert-dir/));
  });
}

test('shows its certificate to the registry itself, and to no other host', async (t) => {
  const mine = selfSignedCertificate(['client.test']);
  const asking = { ...server, requestCert: true, rejectUnauthorized: false };
  const [own, other] = [await serveTls(t, asking), await serveTls(t, asking)];
  const files = { 'ca.crt': server.cert, 'mine.cert': mine.cert, 'mine.key': mine.key };
  const certDir = await writeCertificates(t, files);
  await get(`https://127.0.0.1:${own.port}/`, { certDir });
  await get(`https://127.0.0.1:${other.port}/`, { certDir, ownHost: `127.0.0.1:${own.port}` });
  // More than one where the answer takes its time.
  assert.ok(own.handshakes.length > 0 && own.handshakes.every(({ client }) => client !== undefined));
  assert.ok(other.handshakes.length > 0 && other.handshakes.every(({ client }) => client === undefined));
});

for (const minVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
  for (const how of ['ends the connection', 'answers 400'] as const) {
    test(`finds the one of several client certificates that a server takes (${minVersion}, it ${how})`, async (t) => {
      const [first, second] = [selfSignedCertificate(['one.test']), selfSignedCertificate(['two.test'])];
      const rejectUnauthorized = how === 'ends the connection';
      const seen = await serveTls(
        t,
        { ...server, minVersion, maxVersion: minVersion, requestCert: true, rejectUnauthorized, ca: second.cert },
        (request, response) => {
          const { authorized } = request.socket as unknown as { readonly authorized: boolean };
          response.writeHead(authorized ? 200 : 400).end(authorized ? 'known' : 'unknown');
        },
      );
      const files = { '1.cert': first.cert, '1.key': first.key, '2.cert': second.cert, '2.key': second.key };
      const certDir = await writeCertificates(t, { 'ca.crt': server.cert, ...files });
      assert.equal(await get(`https://127.0.0.1:${seen.port}/`, { certDir }), 'known');
    });
  }
}

test('goes through the proxy that the environment names, in either case', async (t) => {
  const named = selfSignedCertificate(['registry.test']);
  const { port } = await serveTls(t, named);
  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    const proxy = await proxyTo(t, port);
    const env = { [name]: `http://127.0.0.1:${proxy.port}` };
    const answer = await get('https://registry.test/v2/', { env, caFile: await writeAuthority(t, named.cert) });
    assert.deepEqual([answer, proxy.tunnels], ['yes to registry.test', ['registry.test:443']]);
  }
});

test('speaks TLS with a proxy, and TLS with the registry inside, and shows the proxy its user', async (t) => {
  const named = selfSignedCertificate(['registry.test']);
  const { port } = await serveTls(t, named);
  const proxy = await proxyTo(t, port, { tls: server });
  const caFile = await writeAuthority(t, server.cert + named.cert);
  const env = { HTTPS_PROXY: `https://anna:p%40ss@127.0.0.1:${proxy.port}` };
  assert.equal(await get('https://registry.test:5000/', { env, caFile }), 'yes to registry.test:5000');
  const expected = `Basic ${Buffer.from('anna:p@ss').toString('base64')}`;
  assert.deepEqual([proxy.tunnels, proxy.users], [['registry.test:5000'], [expected]]);
  await assert.rejects(
    get('https://registry.test:5000/', { env, caFile: await writeAuthority(t, named.cert) }),
    fails('ERR_PROXY', /the proxy https:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\): the certificate of .* is self-signed/),
  );
});

test('asks a proxy for a whole URL by http, and shows it its user', async (t) => {
  const heads: string[] = [];
  const port = await listen(
    t,
    createServer((request, response) => {
      const { url, headers } = request;
      heads.push(`${url} ${headers.host} ${headers['proxy-authorization']}`);
      response.end('from the proxy');
    }),
  );
  const url = 'http://registry.test:5000/v2/a%2fb/?x=1&y';
  const env = { HTTP_PROXY: `anna:secret@127.0.0.1:${port}` };
  assert.equal(await get(url, { env }), 'from the proxy');
  assert.deepEqual(heads, [`${url} registry.test:5000 Basic ${Buffer.from('anna:secret').toString('base64')}`]);
});

test('names the proxy where that is what failed: refused, unreachable, not HTTP', async (t) => {
  const denied = await proxyTo(t, 0, { status: 407 });
  const broken = await proxyTo(t, 0, { status: 502 });
  const forward = await listen(
    t,
    createServer((_, response) => response.writeHead(407).end()),
  );
  const cases: readonly [url: string, port: number, message: RegExp, hint: RegExp][] = [
    ['https://registry.test/', denied.port, /\(HTTPS_PROXY\): 407/, /user name and password/],
    ['https://registry.test/', broken.port, /\(HTTPS_PROXY\): 502/, /NO_PROXY/],
    ['https://registry.test/', 1, /\(HTTPS_PROXY\): connect ECONNREFUSED 127\.0\.0\.1:1$/, /NO_PROXY/],
    ['http://registry.test/', forward, /\(HTTP_PROXY\): 407/, /user name and password/],
    ['http://registry.test/', 1, /\(HTTP_PROXY\): connect ECONNREFUSED/, /NO_PROXY/],
  ];
  for (const [url, port, message, hint] of cases) {
    const proxy = `http://anna:secret@127.0.0.1:${port}`;
    await assert.rejects(get(url, { env: { HTTPS_PROXY: proxy, HTTP_PROXY: proxy } }), (error) => {
      assert.ok(!(error as Error).message.includes('secret'));
      return fails('ERR_PROXY', message, hint)(error);
    });
  }
});

test('says what is wrong with the address of a proxy', async () => {
  for (const proxy of ['ftp://proxy.test', 'http://[', 'socks4://proxy.test:1080']) {
    const sent = get('https://registry.test/', { env: { HTTPS_PROXY: proxy } });
    await assert.rejects(sent, { code: 'ERR_PROXY', kind: 'usage', message: /^HTTPS_PROXY cannot be used/ });
  }
});

test('goes around the proxy to hosts of NO_PROXY, and to this machine', async (t) => {
  const proxy = await proxyTo(t, 0);
  const url = `http://127.0.0.1:${proxy.port}`;
  const env = { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: 'unknown.invalid' };
  assert.match(await get(`http://127.0.0.1:${await listen(t, createServer(sayYes))}/`, { env }), /^yes/);
  const far = await listen(t, createServer(sayYes), '127.1.2.3');
  assert.match(await get(`http://127.1.2.3:${far}/`, { env }), /^yes/);
  await assert.rejects(get('https://unknown.invalid/', { env }), { code: 'ERR_NAME_NOT_RESOLVED' });
  assert.deepEqual(proxy.tunnels, []);
});

test('looks for proxies in the environment that it was given, and nowhere else', async (t) => {
  const proxy = await proxyTo(t, 0);
  t.after(() => delete process.env['HTTPS_PROXY']);
  process.env['HTTPS_PROXY'] = `http://127.0.0.1:${proxy.port}`;
  for (const env of [{}, { HTTP_PROXY: 'http://127.0.0.1:1' }]) {
    await assert.rejects(get('https://unknown.invalid/', { env }), { code: 'ERR_NAME_NOT_RESOLVED' });
  }
  assert.deepEqual(proxy.tunnels, []);
});

test('asks a SOCKS5 proxy for a server by its name, as the user that the variable names', async (t) => {
  const named = selfSignedCertificate(['registry.test']);
  const { port } = await serveTls(t, named);
  const proxy = await socksTo(t, port, { name: 'anna', password: 'secret' });
  const caFile = await writeAuthority(t, named.cert);
  const env = { HTTPS_PROXY: `socks5://anna:secret@127.0.0.1:${proxy.port}` };
  assert.equal(await get('https://registry.test/', { env, caFile }), 'yes to registry.test');
  assert.deepEqual(proxy.asked, ['registry.test:443']);
  const wrong = { HTTPS_PROXY: `socks5://anna:wrong@127.0.0.1:${proxy.port}` };
  await assert.rejects(
    get('https://registry.test/', { env: wrong, caFile }),
    fails('ERR_PROXY', /Authentication failed/),
  );
});
