import assert from 'node:assert/strict';
import { test } from 'node:test';
import { includesScopes, orderScopes, splitScopes } from '../../src/auth/scope.ts';

test('scopes that allow writing come first, and each once (behaviour 40)', () => {
  assert.deepEqual(
    orderScopes(['repository:a:pull', 'repository:b:pull,push', 'repository:a:pull', 'repository:c:pull']),
    ['repository:b:pull,push', 'repository:a:pull', 'repository:c:pull'],
  );
});

const inclusions: readonly [granted: string, asked: string, included: boolean][] = [
  ['repository:a:pull,push', 'repository:a:pull', true],
  ['repository:a:pull', 'repository:a:pull,push', false],
  ['repository:a:pull', 'repository:b:pull', false],
  ['repository:a:pull repository:b:pull', 'repository:b:pull repository:a:pull', true],
  ['repository:host:5000/a:pull,push', 'repository:host:5000/a:push', true],
  ['repository:a:pull', '', true],
];

for (const [granted, asked, included] of inclusions) {
  test(`"${granted}" ${included ? 'grants' : 'does not grant'} "${asked}"`, () => {
    assert.equal(includesScopes(splitScopes(granted), splitScopes(asked)), included);
  });
}
