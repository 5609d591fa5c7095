import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('SECURITY.md', root), 'utf8');
const rules = text.split('\n').filter((line) => /^\| .* \| .*`test\//.test(line));

test('each rule of SECURITY.md names the tests that show it, and these exist', () => {
  assert.ok(rules.length > 15);
  for (const rule of rules) {
    const files = [...rule.matchAll(/`(test\/[^`]+)`/g)].map(([, file = '']) => file);
    for (const file of files) assert.ok(existsSync(fileURLToPath(new URL(file, root))), `${file}: ${rule}`);
  }
});

test('SECURITY.md has no rule without a test', () => {
  const tables = text
    .slice(text.indexOf('## Rules'))
    .split('\n')
    .filter((line) => line.startsWith('| '));
  const without = tables.filter((line) => !rules.includes(line) && !/^\| (?:rule|---) /.test(line));
  assert.deepEqual(without, []);
});
