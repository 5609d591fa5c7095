import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiHost, isLoopbackHost } from '../../src/reference/registry-host.ts';

const loopback = [
  'localhost',
  'localhost:5000',
  'LocalHost:5000',
  '127.0.0.1',
  '127.0.0.1:5000',
  '127.255.0.9',
  '[::1]',
];
const loopbackLong = ['[::1]:5000', '[0:0:0:0:0:0:0:1]:5000', '127.1'];

for (const registry of [...loopback, ...loopbackLong]) {
  test(`${registry} is on this machine`, () => {
    assert(isLoopbackHost(registry));
  });
}

const elsewhere = [
  'docker.io',
  'h.io:5000',
  '126.0.0.1',
  '128.0.0.1:5000',
  '10.0.0.1',
  '127.0.0.1.example.com',
  'localhost.example.com',
  'notlocalhost:5000',
  'app.localhost',
  '[::2]',
  '[fe80::1]:5000',
  'not a host',
];

for (const registry of elsewhere) {
  test(`${registry} is not known to be on this machine`, () => {
    assert(!isLoopbackHost(registry));
  });
}

test('Docker Hub answers at another host than its references name', () => {
  assert.equal(apiHost('docker.io'), 'registry-1.docker.io');
  assert.equal(apiHost('h.io:5000'), 'h.io:5000');
  assert.equal(apiHost('[::1]:5000'), '[::1]:5000');
});
