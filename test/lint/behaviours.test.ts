import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);

async function citedNumbers(): Promise<ReadonlySet<number>> {
  const cited = new Set<number>();
  for await (const file of glob('test/**/*.test.ts', { cwd: root })) {
    const text = await readFile(new URL(file, root), 'utf8');
    for (const [, numbers = ''] of text.matchAll(/\(behaviours? ([\d, and]+)\)/g)) {
      for (const number of numbers.match(/\d+/g) ?? []) cited.add(Number(number));
    }
  }
  return cited;
}

test('docs/behaviours.md lists the behaviours that test names cite, each once and in order, and no others', async () => {
  const page = await readFile(new URL('docs/behaviours.md', root), 'utf8');
  const listed = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    listed,
    [...(await citedNumbers())].toSorted((one, other) => one - other),
  );
});

test('docs/behaviours.md defines every source that it names', async () => {
  const page = await readFile(new URL('docs/behaviours.md', root), 'utf8');
  const defined = new Set([...page.matchAll(/^\[(.+?)\]: /gm)].map(([, name]) => name));
  const used = new Set([...page.matchAll(/\[([^\]]+)\](?![:(])/g)].map(([, name]) => name));
  assert.deepEqual(used, defined);
});
