import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImgcopyError } from '../../../../src/errors/imgcopy-error.ts';
import { listTags } from '../../../../src/transports/registry/read/tag-list.ts';
import { openAccess } from '../../../support/registry-transport.ts';
import { startRegistry, type Rule, type TestRegistry } from '../../../support/registry.ts';

const FIRST = /\/tags\/list\?n=1000$/;

async function tagsOf(registry: TestRegistry): Promise<readonly string[]> {
  await using access = openAccess();
  const scopes = ['repository:app:pull'];
  const endpoint = await access.reach(registry.host, { plainHttp: true, side: 'source', scopes });
  const tags = [];
  for await (const tag of listTags(endpoint, 'app')) tags.push(tag);
  return tags;
}

function page(path: RegExp, tags: unknown, link?: string): Rule {
  const headers = { 'content-type': 'application/json', ...(link !== undefined && { link }) };
  return { match: { path }, status: 200, headers, body: JSON.stringify({ name: 'app', tags }) };
}

const links: readonly (readonly [name: string, link: string])[] = [
  ['relative', '</v2/app/tags/list?n=1000&last=b>; rel="next"'],
  ['absolute, with another scheme and host', '<https://internal.test/v2/app/tags/list?n=1000&last=b>; rel=next'],
  ['one of several', '</v2/>; rel="first", </v2/app/tags/list?n=1000&last=b>; title="x"; rel="next"'],
  ['after a quoted comma', '</v2/app/tags/list?n=1000&last=b>; title="b, c; d"; rel="next"'],
  ['without a relation', '</v2/app/tags/list?n=1000&last=b>'],
  ['with several relations', '</v2/>; rel="prev", </v2/app/tags/list?n=1000&last=b>; REL="Next last"'],
];

for (const [name, link] of links) {
  test(`continues where a link is ${name}, and asks the same registry`, async () => {
    await using registry = await startRegistry();
    registry.behave(page(FIRST, ['a', 'b'], link));
    registry.behave(page(/last=b$/, ['c']));
    assert.deepEqual(await tagsOf(registry), ['a', 'b', 'c']);
    assert.equal(registry.count(), 2);
  });
}

test('asks for the next page byte for byte as its link has it', async () => {
  await using registry = await startRegistry();
  registry.behave(page(FIRST, ['a'], `</v2/app/tags/list?last='a'>; rel="next"`));
  registry.behave(page(/last=/, ['b']));
  assert.deepEqual(await tagsOf(registry), ['a', 'b']);
  assert.equal(registry.requests[1]?.path, "/v2/app/tags/list?last='a'");
});

test('ends where pages lead back to one that was read', async () => {
  await using registry = await startRegistry();
  registry.behave(page(/tags/, ['a'], '</v2/app/tags/list?n=1000>; rel="next"'));
  assert.deepEqual(await tagsOf(registry), ['a']);
});

for (const [form, tags, expected] of [
  ['null', null, []],
  ['no field', undefined, []],
  ['null among others', ['a', null, 'b'], ['a', 'b']],
] as const) {
  test(`tags that were deleted are none, as ${form}`, async () => {
    await using registry = await startRegistry();
    registry.behave(page(/tags/, tags));
    assert.deepEqual(await tagsOf(registry), expected);
  });
}

for (const [name, body] of [
  ['a web page', '<html></html>'],
  ['a list of numbers', '{"tags":[1]}'],
  ['a bare list', '["a"]'],
  ['a list of errors', '{"errors":[{"code":"UNKNOWN"}]}'],
  ['a text', '{"tags":"a"}'],
] as const) {
  test(`${name} is not a list of tags`, async () => {
    await using registry = await startRegistry();
    registry.behave({ match: { path: /tags/ }, status: 200, body });
    await assert.rejects(tagsOf(registry), (error) => error instanceof ImgcopyError && error.code === 'ERR_TAG_LIST');
  });
}
