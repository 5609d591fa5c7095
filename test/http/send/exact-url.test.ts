import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOrigin, exactText, requestTarget, resolveUrl, withQuery } from '../../../src/http/send/exact-url.ts';

const base = new URL('https://registry.test/v2/app/blobs/1?page=2');
const awkward = `/a'b"c<d>e{f}|g\\h^i\`j%2f%zz//k/./../l?x='1"<>&y=[2]|{3}\\^\`?z`;

test('keeps path and query byte for byte, whatever a URL would make of them', () => {
  const cases: readonly [reference: string, origin: string, target: string][] = [
    [`https://storage.test${awkward}`, 'https://storage.test', awkward],
    [`HTTP://Storage.test:80${awkward}`, 'http://storage.test', awkward],
    [`//storage.test:5000${awkward}`, 'https://storage.test:5000', awkward],
    [awkward, base.origin, awkward],
    ['https://user:secret@storage.test/blob', 'https://storage.test', '/blob'],
    ['https://storage.test?x=1', 'https://storage.test', '/?x=1'],
    ['https://storage.test\\@registry.test/blob', 'https://storage.test', '/\\@registry.test/blob'],
    ['https://storage.test//registry.test/blob', 'https://storage.test', '//registry.test/blob'],
    ['/\\storage.test/blob', base.origin, '/\\storage.test/blob'],
    ["?x='1'", base.origin, "/v2/app/blobs/1?x='1'"],
    ['', base.origin, '/v2/app/blobs/1?page=2'],
    ["2?x='1'#part", base.origin, "/v2/app/blobs/2?x='1'"],
    ['./a/../b/.', base.origin, '/v2/app/blobs/b/'],
    ['../../../../x?y=../z?', base.origin, '/x?y=../z?'],
    ['..', base.origin, '/v2/app/'],
  ];
  for (const [reference, origin, target] of cases) {
    const url = resolveUrl(reference, base);
    assert.ok(url, reference);
    assert.deepEqual([url.origin, requestTarget(url)], [origin, target], reference);
    assert.equal(exactText(url), `${origin}${target}`);
  }
});

test('resolves a relative reference against the exact text of its base', () => {
  const exact = resolveUrl("https://registry.test/it's/1?x='1'");
  assert.ok(exact);
  assert.deepEqual(
    ['2', '?y', ''].map((reference) => resolveUrl(reference, exact)?.target),
    ["/it's/2", "/it's/1?y", "/it's/1?x='1'"],
  );
});

test('refuses what is not http, has no host, or must not stand in a request line', () => {
  const refused = ['ftp://a/b', 'file:///a', 'data:,x', 'https://', 'https:///a', 'https:a', 'http://a:b:c/', '//'];
  const unsendable = ['/a b', '/a\rb', '/a\nb', '/a\tb', '/a\0b', '/ä', '/a\u{7f}', 'https://ä.test/'];
  for (const reference of [...refused, ...unsendable]) assert.equal(resolveUrl(reference, base), undefined, reference);
  assert.equal(resolveUrl('/relative'), undefined, 'without a base');
});

test('adds to a query, and moves to another origin, without a change to the rest', () => {
  const signed = resolveUrl("/upload?sig='1'", base);
  assert.ok(signed);
  assert.equal(withQuery(signed, 'digest=x').target, "/upload?sig='1'&digest=x");
  assert.equal(withQuery(new URL('https://registry.test/upload'), 'digest=x').target, '/upload?digest=x');
  assert.equal(exactText(atOrigin(signed, 'http://other.test')), "http://other.test/upload?sig='1'");
});
