import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatPlatform,
  InvalidPlatformError,
  localPlatform,
  parsePlatform,
} from '../../src/manifest/platform-name.ts';

for (const text of [
  'linux/amd64',
  'linux/arm64/v8',
  'linux/arm/v7',
  'windows/amd64',
  'windows/amd64:10.0.17763.1',
  'linux/arm/v7:5.10',
  'linux/s390x',
  'wasip1/wasm',
]) {
  test(`reads ${text} and writes it again`, () => {
    assert.equal(formatPlatform(parsePlatform(text)), text);
  });
}

test('reads a platform in its parts', () => {
  assert.deepEqual(parsePlatform('linux/amd64'), { os: 'linux', architecture: 'amd64' });
  assert.deepEqual(parsePlatform('Linux/ARM/V7'), { os: 'linux', architecture: 'arm', variant: 'v7' });
  assert.deepEqual(parsePlatform('windows/amd64:10.0.1.2'), {
    os: 'windows',
    architecture: 'amd64',
    osVersion: '10.0.1.2',
  });
  assert.deepEqual(parsePlatform('linux/x86_64'), { os: 'linux', architecture: 'x86_64' });
});

for (const text of [
  '',
  'linux',
  'arm64',
  'linux/',
  '/amd64',
  'linux/arm/',
  'linux/arm/v7/x',
  'linux/arm:',
  'windows:10.0/amd64',
  'windows/amd64:10:0',
  'linux/a b',
  'linux/../x y',
  'a\n/b',
]) {
  test(`refuses ${JSON.stringify(text)} as a platform`, () => {
    assert.throws(
      () => parsePlatform(text),
      (error: unknown) =>
        error instanceof InvalidPlatformError && error.code === 'ERR_INVALID_PLATFORM' && error.kind === 'usage',
    );
  });
}

test('names this machine as images name it', () => {
  const local = localPlatform();
  assert.deepEqual(parsePlatform('local'), local);
  assert.deepEqual(parsePlatform(formatPlatform(local)), local);
  assert.notEqual(local.os, 'darwin');
  assert.notEqual(local.architecture, 'x64');
});

test('says unknown where a platform says nothing', () => {
  assert.equal(formatPlatform({ os: '', architecture: '' }), 'unknown/unknown');
  assert.equal(formatPlatform({ os: 'linux', architecture: 'amd64', variant: '' }), 'linux/amd64');
});
