import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCreds } from '../../src/auth/credentials.ts';

const cases: readonly [text: string, username: string, password: string][] = [
  ['anna:secret', 'anna', 'secret'],
  ['anna:a:b:', 'anna', 'a:b:'],
  ['anna', 'anna', ''],
  ['anna:', 'anna', ''],
];

for (const [text, username, password] of cases) {
  test(`reads ${text} as user and password`, () => {
    assert.deepEqual(parseCreds(text), { kind: 'basic', username, password });
  });
}

test('credentials without a user name are refused, and the password is not quoted', () => {
  for (const text of ['', ':secret']) {
    assert.throws(
      () => parseCreds(text),
      (error: Error & { kind?: string }) => error.kind === 'usage' && !error.message.includes('secret'),
    );
  }
});
