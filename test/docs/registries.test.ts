import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hostedRegistries, publicSources, type HostedShape } from '../support/hosted/index.ts';

const page = await readFile(new URL('../../docs/registries.md', import.meta.url), 'utf8');

/** The cells of the row under "What works". */
function rowOf({ name }: HostedShape): readonly string[] {
  const [, table = ''] = page.split('## What works');
  const row = table.split('\n').find((line) => line.startsWith(`| ${name} |`)) ?? '';
  return row.split('|').map((cell) => cell.trim());
}

function missing({ missing: { tag, repository, anonymous } }: HostedShape): string {
  if (repository === 4) return `${tag}; 4 where the whole repository is missing`;
  return anonymous === 4 ? `${tag}; 4 without credentials` : `${tag}`;
}

const ASKS = { basic: 'Basic', bearer: 'Bearer' };
const SEVERAL: ReadonlySet<unknown> = new Set([undefined, 'multipart', 'unquoted-colon-boundary']);

for (const shape of [...hostedRegistries, ...publicSources]) {
  test(`docs/registries.md says of ${shape.name} what its server in the tests does`, () => {
    const { auth, multiRange, repositoriesPreexist } = shape.options;
    const pushed = [
      shape.mounts ? 'mounted' : 'sent again',
      repositoriesPreexist ? 'wants the repository to exist' : 'creates the repository',
    ];
    const [mounts, first] = hostedRegistries.includes(shape) ? pushed : ['', ''];
    const asks = auth === undefined ? 'nothing' : ASKS[auth.kind];
    const ranges = SEVERAL.has(multiRange) ? 'yes' : 'no';
    assert.deepEqual(rowOf(shape), ['', shape.name, asks, missing(shape), mounts, ranges, first, '']);
  });
}
