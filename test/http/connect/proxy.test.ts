import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxiesOf, type Proxy } from '../../../src/http/connect/proxy.ts';

type Env = Readonly<Record<string, string>>;

/** The proxy for a URL, as SCHEME://HOST:PORT, or `none`. */
function proxyOf(env: Env, url: string): string {
  const proxy = proxiesOf(env)(new URL(url));
  return proxy === undefined ? 'none' : shown(proxy);
}

function shown({ scheme, hostname, port, user }: Proxy): string {
  return `${scheme}://${user === undefined ? '' : `${user.name}:${user.password}@`}${hostname}:${port}`;
}

test('finds the proxy by the scheme of the URL, lower case first', () => {
  const both = { HTTP_PROXY: 'http://plain.test:1', HTTPS_PROXY: 'http://secure.test:2' };
  const cases: readonly [env: Env, url: string, proxy: string][] = [
    [both, 'http://registry.test/', 'http://plain.test:1'],
    [both, 'https://registry.test/', 'http://secure.test:2'],
    [{ HTTP_PROXY: 'http://plain.test:1' }, 'https://registry.test/', 'none'],
    [{ HTTPS_PROXY: 'http://secure.test:2' }, 'http://registry.test/', 'none'],
    [{ ...both, https_proxy: 'http://lower.test:3' }, 'https://registry.test/', 'http://lower.test:3'],
    [{ ...both, https_proxy: '' }, 'https://registry.test/', 'http://secure.test:2'],
    [{ ALL_PROXY: 'http://all.test:1' }, 'https://registry.test/', 'none'],
    [{}, 'https://registry.test/', 'none'],
  ];
  for (const [env, url, proxy] of cases) assert.equal(proxyOf(env, url), proxy, `${JSON.stringify(env)} ${url}`);
});

test('takes an address with or without scheme, port, user and password', () => {
  const cases: readonly [value: string, proxy: string][] = [
    ['proxy.test', 'http://proxy.test:80'],
    ['proxy.test:3128', 'http://proxy.test:3128'],
    ['10.0.0.1:3128', 'http://10.0.0.1:3128'],
    ['[fd00::1]:3128', 'http://fd00::1:3128'],
    ['anna:secret@proxy.test:3128', 'http://anna:secret@proxy.test:3128'],
    ['http://proxy.test', 'http://proxy.test:80'],
    ['https://proxy.test', 'https://proxy.test:443'],
    ['http://anna:p%40%3ass@proxy.test:3128/', 'http://anna:p@:ss@proxy.test:3128'],
    ['http://anna:100%@proxy.test', 'http://anna:100%@proxy.test:80'],
    ['http://anna@proxy.test', 'http://anna:@proxy.test:80'],
    ['socks5://proxy.test', 'socks5://proxy.test:1080'],
    ['socks5h://anna:secret@proxy.test:9050', 'socks5://anna:secret@proxy.test:9050'],
  ];
  for (const [value, proxy] of cases) assert.equal(proxyOf({ HTTPS_PROXY: value }, 'https://registry.test/'), proxy);
});

test('names the variable and no password in what it is called', () => {
  const proxy = proxiesOf({ https_proxy: 'http://anna:secret@proxy.test:3128' })(new URL('https://registry.test/'));
  assert.equal(proxy?.text, 'http://proxy.test:3128 (https_proxy)');
});

/** From the documentation and the tests of golang.org/x/net/http/httpproxy. */
const noProxy: readonly [noProxy: string, host: string, uses: boolean][] = [
  // This machine is never asked through a proxy.
  ['', 'localhost', false],
  ['', 'localhost:5000', false],
  ['', '127.0.0.1', false],
  ['', '127.0.0.2', false],
  ['', '127.1.2.3:5000', false],
  ['', '[::1]', false],
  ['', '[::2]', true],
  ['', 'localhost.net', true],
  ['', 'local.localhost', true],
  ['', 'registry.test', true],
  // Everything.
  ['*', 'registry.test', false],
  ['registry.test, *', '10.0.0.1', false],
  ['*.test', 'registry.test', false],
  // A name, and what is below it.
  ['foo.com', 'foo.com', false],
  ['foo.com', 'bar.foo.com', false],
  ['foo.com', 'a.b.foo.com:5000', false],
  ['foo.com', 'barfoo.com', true],
  ['foo.com', 'foo.com.evil.test', true],
  ['FOO.com', 'foo.COM', false],
  // What is below it alone.
  ['.y.com', 'x.y.com', false],
  ['.y.com', 'y.com', true],
  ['*.y.com', 'x.y.com', false],
  ['*.y.com', 'y.com', true],
  // A port.
  ['foo.com:80', 'foo.com:80', false],
  ['foo.com:443', 'foo.com', false],
  ['foo.com:80', 'foo.com', true],
  ['.foo.com:5000', 'x.foo.com:5000', false],
  ['.foo.com:5000', 'x.foo.com:5001', true],
  ['192.168.1.1:5000', '192.168.1.1:5000', false],
  ['192.168.1.1:5000', '192.168.1.1:5001', true],
  ['[fd00::1]:5000', '[fd00::1]:5000', false],
  ['[fd00::1]:5000', '[fd00::1]:5001', true],
  // Addresses and networks.
  ['192.168.1.1', '192.168.1.1', false],
  ['192.168.1.1', '192.168.1.12', true],
  ['192.168.1.0/24', '192.168.1.77:5000', false],
  ['192.168.1.77/24', '192.168.1.1', false],
  ['192.168.1.0/24', '192.168.2.1', true],
  ['10.0.0.0/8', '10.1.2.3', false],
  ['fd00::/8', '[fd12::1]:5000', false],
  ['fd00::/8', '[fe00::1]', true],
  ['fd00::1', '[fd00:0:0::1]', false],
  ['[fd00::1]', '[fd00::1]', false],
  ['192.168.1.1', 'registry.192.168.1.1.test', true],
  // Letters outside ASCII.
  ['bücher.test', 'xn--bcher-kva.test', false],
  ['.bücher.test', 'a.bücher.test', false],
  // Several, some of which mean nothing.
  [' foo.com , , bar.com ', 'bar.com', false],
  [':1,:,,[:', 'registry.test', true],
  ['10.0.0.0/64, foo.com', 'foo.com', false],
];
for (const scheme of ['http', 'https']) {
  test(`goes around the proxy as NO_PROXY says, by ${scheme}`, () => {
    for (const [excluded, host, uses] of noProxy) {
      if (scheme === 'http' && excluded.endsWith(':443')) continue;
      if (scheme === 'https' && host.endsWith(':80')) continue;
      if (scheme === 'http' && excluded === 'foo.com:80') continue;
      const env = { HTTP_PROXY: 'proxy.test:80', HTTPS_PROXY: 'proxy.test:80', NO_PROXY: excluded };
      const expected = uses ? 'http://proxy.test:80' : 'none';
      assert.equal(proxyOf(env, `${scheme}://${host}/`), expected, `NO_PROXY=${excluded} ${host}`);
    }
  });
}

test('compares ports by what the scheme means where the URL has none', () => {
  const env = { HTTP_PROXY: 'proxy.test', HTTPS_PROXY: 'proxy.test', no_proxy: 'a.test:80,b.test:443' };
  const urls = ['http://a.test/', 'https://a.test/', 'http://b.test/', 'https://b.test/'];
  assert.deepEqual(
    urls.map((url) => proxyOf(env, url)),
    ['none', 'http://proxy.test:80', 'http://proxy.test:80', 'none'],
  );
});

test('does not take HTTP_PROXY from a header, in a CGI program', () => {
  const env = { HTTP_PROXY: 'evil.test', HTTPS_PROXY: 'proxy.test', REQUEST_METHOD: 'GET' };
  assert.throws(() => proxyOf(env, 'http://registry.test/'), { code: 'ERR_PROXY', kind: 'usage' });
  assert.equal(proxyOf(env, 'https://registry.test/'), 'http://proxy.test:80');
});
