import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressScope } from '../../src/io/address-scope.ts';

const cases: readonly (readonly [authority: string, scope: ReturnType<typeof addressScope>])[] = [
  ['127.0.0.1:5000', 'loopback'],
  ['127.255.0.9', 'loopback'],
  ['2130706433', 'loopback'],
  ['0x7f.1', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['[::1]', 'loopback'],
  ['[::]', 'loopback'],
  ['[::ffff:127.0.0.1]', 'loopback'],
  ['localhost:8080', 'loopback'],
  ['LOCALHOST.', 'loopback'],
  ['app.localhost', 'loopback'],
  ['169.254.169.254', 'link-local'],
  ['[::ffff:169.254.169.254]', 'link-local'],
  ['[fe80::1]', 'link-local'],
  ['[fd00:ec2::254]', 'link-local'],
  ['10.1.2.3', 'private'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['[fd12::1]', 'private'],
  ['172.32.0.1', undefined],
  ['8.8.8.8', undefined],
  ['[2001:4860:4860::8888]', undefined],
  ['registry.test', undefined],
  ['localhost.registry.test', undefined],
  ['10.0.0.1.registry.test', undefined],
];

for (const [authority, scope] of cases) {
  test(`${authority} is ${scope ?? 'public, or a name'}`, () => {
    assert.equal(addressScope(new URL(`http://${authority}/`).hostname), scope);
  });
}
