import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import {
  createCopier,
  ImgcopyError,
  type CopierOptions,
  type Copier,
  type CopyTagsOptions,
  type TagOutcome,
} from '../../src/index.ts';
import { tagFilter } from '../../src/library/select-tags.ts';
import { buildImage, type TestImage } from '../support/images.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../support/registry.ts';
import { images, index, referrers, seedSigned, tagged } from './signed-image.ts';
import { at, openHome, type TestHome } from './test-copier.ts';

const [amd64, arm64] = images as [TestImage, TestImage];
const plainHttp = { plainHttp: true };

interface Stage {
  readonly home: TestHome;
  readonly from: TestRegistry;
  readonly to: TestRegistry;
  readonly copier: Copier;
  /** Copies the tags of `app` into another registry. */
  readonly copy: (options?: CopyTagsOptions) => Promise<readonly TagOutcome[]>;
}

async function openStage(t: TestContext, options: RegistryOptions & CopierOptions = {}): Promise<Stage> {
  const home = await openHome(t);
  const [from, to] = [await startRegistry(options), await startRegistry(options)];
  t.after(() => from.close());
  t.after(() => to.close());
  const copier = createCopier({ env: home.env, retryDelayMs: 1, cache: false, ...options });
  t.after(() => copier[Symbol.asyncDispose]());
  const ends = { source: plainHttp, destination: plainHttp };
  const copy = (asked: CopyTagsOptions = {}): Promise<readonly TagOutcome[]> =>
    all(copier.copyTags(at(from, 'app'), at(to, 'app'), { ...ends, ...asked }));
  return { home, from, to, copier, copy };
}

async function all(outcomes: AsyncIterable<TagOutcome>): Promise<readonly TagOutcome[]> {
  const found: TagOutcome[] = [];
  for await (const outcome of outcomes) found.push(outcome);
  return found;
}

function statuses(outcomes: readonly TagOutcome[]): Readonly<Record<string, string>> {
  return Object.fromEntries(outcomes.map(({ tag, status }) => [tag, status]));
}

const MANIFEST = /\/manifests\//;

describe('all tags of a repository', { concurrency: 2 }, () => {
  test('come over: blobs and instances once, and for each tag a look and a PUT', async (t) => {
    const { from, to, copy } = await openStage(t);
    const tags = Array.from({ length: 30 }, (_, number) => `v${number}`);
    for (const tag of tags) from.seed('app', tag, index);
    assert.deepEqual(statuses(await copy()), Object.fromEntries(tags.map((tag) => [tag, 'copied'])));
    for (const tag of tags) assert.deepEqual(to.manifest('app', tag), index.manifest);
    assert.equal(from.count({ method: 'GET', path: /\/blobs\// }), index.blobs.size);
    assert.equal(to.count({ path: /\/blobs\/uploads\// }), 2 * index.blobs.size);
    assert.equal(to.count({ method: 'PUT', path: /\/manifests\/sha256:/ }), index.instances.length);
    assert.equal(to.count({ method: 'PUT', path: /\/manifests\/v/ }), tags.length);
    assert.equal(to.select({ path: MANIFEST }).filter(({ method }) => method !== 'PUT').length, tags.length);
    assert.equal(from.count({ method: 'GET', path: /\/manifests\/sha256:/ }), index.instances.length);
    assert.equal(from.count({ path: /\/manifests\/v/ }), tags.length);
    assert.equal(from.count({ path: /\/tags\/list/ }), 1);
  });

  test('that are there already cost a look each, and nothing else', async (t) => {
    const { from, to, copy } = await openStage(t);
    const tags = Array.from({ length: 20 }, (_, number) => `v${number}`);
    for (const tag of tags) {
      from.seed('app', tag, index);
      to.seed('app', tag, index);
    }
    to.seed('app', 'v7', amd64);
    const outcomes = await copy();
    const copied = outcomes.flatMap((one) => (one.status === 'copied' && one.result.skipped === null ? [one.tag] : []));
    assert.deepEqual(copied, ['v7']);
    assert.equal(to.count({ method: 'PUT', path: /\/manifests\/v/ }), 1);
    assert.equal(to.select({ path: /\/manifests\/v/ }).length, tags.length + 1);
    assert.equal(from.count({ path: /\/v2\/app\/(?:manifests\/v|tags)/ }), tags.length + 1);
  });

  test('share layers, and different images come over whole', async (t) => {
    const { from, to, copy } = await openStage(t);
    const shared = Buffer.alloc(5000, 'shared');
    const own = Array.from({ length: 20 }, (_, number) =>
      buildImage({
        layers: [shared, Buffer.from(`layer ${number}`)],
        platform: { os: 'linux', architecture: `a${number}` },
      }),
    );
    for (const [number, image] of own.entries()) from.seed('app', `v${number}`, image);
    await copy();
    for (const [number, image] of own.entries()) assert.deepEqual(to.manifest('app', `v${number}`), image.manifest);
    assert.equal(from.count({ method: 'GET', path: /\/blobs\// }), 1 + 2 * own.length);
    assert.equal(to.count({ method: 'PUT', path: /\/blobs\/uploads\// }), 1 + 2 * own.length);
  });

  test('one that fails does not stop the others, and says why', async (t) => {
    const { from, to, copy } = await openStage(t);
    for (const tag of ['a', 'b', 'c']) from.seed('app', tag, index);
    from.seed('app', 'broken', arm64);
    const [lacking = ''] = [...arm64.blobs.keys()].filter((digest) => !index.blobs.has(digest));
    assert.equal(lacking, '');
    const other = buildImage({ layers: { count: 1, size: 10, seed: 'other' } });
    from.seed('app', 'lacking', other);
    for (const digest of other.blobs.keys()) from.remove('app', digest);
    to.behave({ match: { method: 'PUT', path: /\/manifests\/b$/ }, status: 403 });
    const outcomes = await copy();
    assert.deepEqual(statuses(outcomes), {
      a: 'copied',
      b: 'failed',
      broken: 'copied',
      c: 'copied',
      lacking: 'failed',
    });
    const errors = outcomes.flatMap((one) => (one.status === 'failed' ? [one.error as ImgcopyError] : []));
    assert.deepEqual(errors.map(({ kind }) => kind).toSorted(), ['denied', 'not-found']);
    assert.ok(errors.every(({ message }) => /^copying tag (?:b|lacking) of docker:\/\//.test(message)));
    assert.deepEqual(to.tags('app').toSorted(), ['a', 'broken', 'c']);
  });

  test('a blob that one tag could not bring, another one brings', async (t) => {
    const { from, to, copy } = await openStage(t, { retryTimes: 0 });
    for (const tag of ['a', 'b']) from.seed('app', tag, amd64);
    const blob = { method: 'GET', path: /\/blobs\// };
    from.behave({ match: { ...blob, times: 1 }, status: 500 });
    const outcomes = await copy();
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['copied', 'failed']);
    assert.equal(to.tags('app').length, 1);
  });

  test('one that vanishes after it was listed is a warning, not a failure', async (t) => {
    const { from, to, copy } = await openStage(t);
    for (const tag of ['a', 'b']) from.seed('app', tag, index);
    from.behave({
      match: { path: /\/manifests\/b$/, times: 1 },
      call: () => from.remove('app', 'b'),
    });
    const warnings: unknown[] = [];
    const outcomes = await copy({ onEvent: (event) => event.type === 'warning' && warnings.push(event) });
    assert.deepEqual(statuses(outcomes), { a: 'copied', b: 'gone' });
    assert.deepEqual(warnings, [{ type: 'warning', message: 'tag b is not at the source any more', tag: 'b' }]);
    assert.deepEqual(to.tags('app'), ['a']);
  });

  test('events say which tag they are for', async (t) => {
    const { from, copy } = await openStage(t);
    for (const tag of ['a', 'b']) from.seed('app', tag, index);
    const done: string[] = [];
    await copy({ onEvent: (event) => event.type === 'done' && done.push(event.tag) });
    assert.deepEqual(done.toSorted(), ['a', 'b']);
  });

  test('are asked for a page at a time, as they are copied', async (t) => {
    const { home, from, to, copier } = await openStage(t);
    for (let number = 0; number < 2500; number += 1) from.seed('app', `v${number}`, amd64);
    const LIST = { path: /\/tags\/list/ };
    const ends = { source: plainHttp, destination: plainHttp };
    for await (const outcome of copier.copyTags(at(from, 'app'), at(to, 'app'), ends)) {
      assert.equal(outcome.status, 'copied');
      break;
    }
    assert.equal(from.count(LIST), 1);
    assert.ok(to.tags('app').length <= 32, `${to.tags('app').length} tags`);
    assert.ok(from.requests.every(({ outcome }) => outcome !== 'open'));
    from.reset();
    const few = { ...ends, tags: ['v2499'] };
    const outcomes = await all(copier.copyTags(at(from, 'app'), `oci:${join(home.path, 'layout')}`, few));
    assert.deepEqual([statuses(outcomes), from.count(LIST)], [{ v2499: 'copied' }, 3]);
  });

  test('end where the signal says so, with nothing left under way', async (t) => {
    const { from, copy } = await openStage(t);
    for (let number = 0; number < 40; number += 1) from.seed('app', `v${number}`, amd64);
    from.behave({ match: { method: 'GET', path: MANIFEST }, stall: true });
    const stop = new AbortController();
    const copying = copy({ signal: stop.signal });
    await from.until(() => from.count({ path: MANIFEST }) === 16);
    stop.abort();
    await assert.rejects(copying, { name: 'AbortError' });
    await from.until(() => from.requests.every(({ outcome }) => outcome !== 'open'));
    assert.equal(from.count({ path: MANIFEST }), 16);
  });

  test('a list that breaks off is an error, after what was begun', async (t) => {
    const { from, to, copier } = await openStage(t, { retryTimes: 0 });
    for (let number = 0; number < 1010; number += 1) from.seed('app', `v${number}`, amd64);
    from.behave({ match: { path: /\/tags\/list.*last=/ }, status: 500 });
    const outcomes: TagOutcome[] = [];
    const options = { source: plainHttp, destination: plainHttp, tags: ['v1', 'v2'] };
    await assert.rejects(
      async () => {
        for await (const one of copier.copyTags(at(from, 'app'), at(to, 'app'), options)) outcomes.push(one);
      },
      { code: 'ERR_REGISTRY_FAULT' },
    );
    assert.deepEqual(statuses(outcomes), { v1: 'copied', v2: 'copied' });
  });
});

describe('what refers to the images', { concurrency: 2 }, () => {
  test('stays, and so do the tags for it; with referrers it comes once', async (t) => {
    const { from, to, copy } = await openStage(t, { referrers: false });
    seedSigned(from);
    from.seed('app', 'v2', index);
    assert.deepEqual(statuses(await copy()), { v1: 'copied', v2: 'copied' });
    assert.deepEqual(to.tags('app').toSorted(), ['v1', 'v2']);
    to.reset();
    assert.deepEqual(statuses(await copy({ referrers: true })), { v1: 'copied', v2: 'copied' });
    for (const [tag, { manifest }] of Object.entries(tagged)) assert.deepEqual(to.manifest('app', tag), manifest);
    for (const { manifest } of Object.values(referrers)) assert.ok(to.manifest('app', manifest.digest));
    for (const { manifest } of Object.values(referrers))
      assert.equal(to.count({ method: 'PUT', path: new RegExp(`/manifests/${manifest.digest}`) }), 1);
  });
});

describe('a choice of tags', { concurrency: 2 }, () => {
  const choices: readonly (readonly [string, Parameters<typeof tagFilter>[0], readonly string[]])[] = [
    ['all', {}, ['1', '1.2', '1.2.3', 'v1.2.4', '1.3.0-alpine', '2.0.0', 'latest', 'Latest', '20240101']],
    ['globs', { tags: ['1.*', 'v?.*'] }, ['1.2', '1.2.3', 'v1.2.4', '1.3.0-alpine']],
    ['letters count', { tags: ['latest'] }, ['latest']],
    ['what is left out', { tags: ['1*'], exclude: ['*-alpine', '1'] }, ['1.2', '1.2.3']],
    ['a range', { semver: ['^1.2'] }, ['1.2', '1.2.3', 'v1.2.4']],
    ['several ranges', { semver: ['>=2 <3', '1.2.3'] }, ['1.2.3', '2.0.0']],
    ['pre-releases that the range names', { semver: ['>=1.3.0-0 <1.3.0'] }, ['1.3.0-alpine']],
    ['a range and a glob', { semver: ['1.x'], tags: ['v*'] }, ['v1.2.4']],
    ['nothing', { tags: ['none'] }, []],
  ];
  const digestTags = [`sha256-${'a'.repeat(64)}`, `sha256-${'a'.repeat(64)}.sig`, `sha512-${'a'.repeat(128)}`];
  const listed = [
    '1',
    '1.2',
    '1.2.3',
    'v1.2.4',
    '1.3.0-alpine',
    '2.0.0',
    'latest',
    'Latest',
    '20240101',
    ...digestTags,
  ];

  for (const [what, selection, expected] of choices) {
    test(what, async () => {
      const isWanted = await tagFilter(selection);
      assert.deepEqual(listed.filter(isWanted), expected);
    });
  }

  test('a range that is none is wrong usage', async () => {
    for (const semver of ['', 'newest', '1..2']) {
      await assert.rejects(tagFilter({ semver: [semver] }), { code: 'ERR_INVALID_RANGE', kind: 'usage' });
    }
  });

  test('of which none is there, is not there', async (t) => {
    const { from, copy } = await openStage(t);
    from.seed('app', 'v1', index);
    await assert.rejects(copy({ tags: ['2.*'] }), { code: 'ERR_NO_TAGS', kind: 'not-found' });
    from.create('empty');
    from.remove('app', 'v1');
    await assert.rejects(copy(), { code: 'ERR_NO_TAGS', kind: 'not-found', message: /has no tags/ });
  });
});

describe('what cannot be copied so', { concurrency: 2 }, () => {
  test('is told before anything is asked', async (t) => {
    const { home, from, to, copier } = await openStage(t);
    from.seed('app', 'v1', index);
    const [source, destination] = [at(from, 'app'), at(to, 'app')];
    const cases: readonly (readonly [string, string, RegExp])[] = [
      [source, `dir:${home.path}/out`, /cannot hold several tags/],
      [source, `oci-archive:${home.path}/out.tar`, /cannot hold several tags/],
      [source, `${destination}:v1`, /names one image/],
      [`${source}:v1`, destination, /names one image/],
      [`${source}@${index.manifest.digest}`, destination, /names one image/],
      [source, source, /same place/],
    ];
    for (const [one, other, message] of cases) {
      const copying = all(copier.copyTags(one, other, { source: plainHttp }));
      await assert.rejects(copying, (error: unknown) => {
        assert.ok(error instanceof ImgcopyError);
        assert.match(error.message, message);
        assert.equal(error.kind, 'usage');
        if (/several/.test(error.message)) assert.match(error.hint ?? '', /oci:PATH/);
        return true;
      });
    }
    assert.equal(from.requests.length + to.requests.length, 0);
  });

  test('a repository that is not there', async (t) => {
    const { copy } = await openStage(t);
    await assert.rejects(copy(), { kind: 'not-found' });
  });
});

describe('layouts', { concurrency: 2 }, () => {
  test('hold all tags, and give them', async (t) => {
    const { home, from, to, copier } = await openStage(t);
    const own = Array.from({ length: 6 }, (_, number) =>
      buildImage({ layers: { count: 1, size: 100, seed: `${number}` } }),
    );
    for (const [number, image] of own.entries()) from.seed('app', `v${number}`, image);
    from.seed('app', 'all', index);
    from.seed('app', 'again', index);
    const layout = `oci:${join(home.path, 'layout')}`;
    const out = await all(copier.copyTags(at(from, 'app'), layout, { source: plainHttp }));
    assert.deepEqual(Object.values(statuses(out)), Array<string>(8).fill('copied'));
    assert.equal(
      from.count({ method: 'GET', path: /\/blobs\// }),
      new Set([...own, index].flatMap(({ blobs }) => [...blobs.keys()])).size,
    );
    const back = await all(copier.copyTags(layout, at(to, 'back'), { destination: plainHttp }));
    assert.deepEqual(Object.values(statuses(back)), Array<string>(8).fill('copied'));
    for (const tag of from.tags('app')) assert.deepEqual(to.manifest('back', tag), from.manifest('app', tag));
  });

  test('have names that no registry can have: those fail, and the others come over', async (t) => {
    const { home, from, to, copier } = await openStage(t);
    from.seed('app', 'v1', index);
    const layout = `oci:${join(home.path, 'layout')}`;
    for (const name of ['v1', 'example.com/app:v1'])
      await copier.copy(at(from, 'app:v1'), `${layout}:${name}`, { source: plainHttp });
    const outcomes = await all(copier.copyTags(layout, at(to, 'app'), { destination: plainHttp }));
    assert.deepEqual(statuses(outcomes), { 'example.com/app:v1': 'failed', v1: 'copied' });
  });
});
