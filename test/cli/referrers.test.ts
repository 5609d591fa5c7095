import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { drawReferrers } from '../../src/cli/inspect-tree.ts';
import { findReferrers, type Referrer } from '../../src/copy/referrers.ts';
import type { ImageSource } from '../../src/contract/image-source.ts';
import type { Digest } from '../../src/digest/digest.ts';
import { images, index, NOTATION, referrers, SBOM, seedSigned, tagged } from '../library/signed-image.ts';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const [amd64] = images;
const sbom = referrers['an SBOM of an instance'].manifest;
const signature = referrers['a signature on the SBOM'].manifest;

describe('referrers on the command line', { concurrency: 2 }, () => {
  let home: CliHome;
  let registry: TestRegistry;
  let name: string;

  before(async () => {
    home = await createCliHome();
    registry = await startRegistry();
    seedSigned(registry);
    registry.seed('plain', 'v1', index);
    name = `${registry.host}/app:v1`;
  });

  after(async () => {
    await registry.close();
    await home[Symbol.asyncDispose]();
  });

  test('lists what refers to an image: digest, type and what it refers to, one per line', async () => {
    const { status, stdout, stderr } = await home.run(['referrers', name]);
    assert.deepEqual([status, stderr], [0, '']);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, Object.keys(referrers).length + Object.keys(tagged).length);
    assert.ok(lines.includes(`${sbom.digest} ${SBOM} ${amd64?.manifest.digest}`));
    assert.ok(lines.includes(`${signature.digest} ${NOTATION} ${sbom.digest}`));
    for (const [tag, { manifest }] of Object.entries(tagged))
      assert.ok(lines.some((line) => line.startsWith(`${manifest.digest} ${tag.replace(/^.*\./, '')} sha256:`)));
  });

  test('lists some of them, as JSON', async () => {
    const { stdout } = await home.run(['referrers', name, '--referrers-type', SBOM, '--json']);
    const { bytes, mediaType, digest } = sbom;
    const descriptor = { mediaType, digest, size: bytes.length, annotations: { made: 'today' }, artifactType: SBOM };
    assert.deepEqual(JSON.parse(stdout), {
      reference: name,
      referrers: [{ subject: amd64?.manifest.digest, descriptor, type: SBOM }],
    });
  });

  test('lists those of one platform', async () => {
    const { stdout } = await home.run(['referrers', '-p', 'linux/amd64', name, '--referrers-type', '*/*']);
    const digests = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    assert.deepEqual(digests, [sbom.digest, signature.digest]);
  });

  test('prints nothing where nothing refers to an image', async () => {
    const { status, stdout, stderr } = await home.run(['referrers', `${registry.host}/plain:v1`]);
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });

  test('an image that does not exist is not there', async () => {
    assert.equal((await home.run(['referrers', `${registry.host}/app:none`])).status, 3);
  });

  test('inspect -r shows what refers to each manifest below it', async () => {
    const { stdout } = await home.run(['inspect', '-r', name]);
    const lines = stdout.split('\n');
    const at = (digest: string): number => lines.findIndex((line) => line.includes(digest));
    const indentOf = (digest: string): number => /^[│ ]*/.exec(lines[at(digest)] ?? '')?.[0].length ?? -1;
    assert.equal(indentOf(sbom.digest), indentOf(amd64?.manifest.digest ?? '') + 3);
    assert.equal(at(signature.digest), at(sbom.digest) + 1);
    assert.equal(indentOf(signature.digest), indentOf(sbom.digest) + 3);
    assert.ok(!(await home.run(['inspect', name])).stdout.includes(sbom.digest));
    const { stdout: json } = await home.run(['inspect', '-r', '--json', name]);
    const { manifests } = JSON.parse(json) as {
      manifests: readonly { referrers: readonly { type: string; referrers?: readonly { type: string }[] }[] }[];
    };
    assert.deepEqual(
      manifests[0]?.referrers.map(({ type, referrers: below }) => [type, below?.map((one) => one.type)]),
      [
        [SBOM, [NOTATION, 'sig']],
        ['att', undefined],
      ],
    );
  });

  test('copy -r copies them, and JSON tells how many', async () => {
    const { status, stdout, stderr } = await home.run(['-r', '--json', name, `${registry.host}/copy:v1`]);
    assert.equal(status, 0);
    assert.match(stderr, /; 8 referrers: 8 copied$/m);
    assert.match((await home.run(['-r', name, `${registry.host}/copy:v1`])).stderr, /; 8 referrers: 8 already there$/m);
    assert.deepEqual((JSON.parse(stdout) as { referrers: unknown }).referrers, { total: 8, copied: 8, missing: 0 });
    for (const tag of Object.keys(tagged)) assert.ok(registry.manifest('copy', tag), tag);
  });

  test('--referrers-type is enough', async () => {
    await home.run(['--referrers-type', 'sig', '--referrers-type', SBOM, name, `${registry.host}/some:v1`]);
    const tags = registry.tags('some').filter((tag) => tag.startsWith('sha256-'));
    assert.deepEqual(
      tags,
      Object.keys(tagged).filter((tag) => tag.endsWith('.sig')),
    );
    assert.ok(registry.manifest('some', sbom.digest));
  });

  test('a directory is refused as wrong usage, and nothing is made', async () => {
    const { status, stderr } = await home.run(['-r', name, `dir:${home.path}/image`]);
    assert.equal(status, 2);
    assert.match(stderr, /cannot hold what refers to an image[^]*oci:PATH/);
  });
});

function digestOf(letter: string): Digest {
  return `sha256:${letter.repeat(64)}`;
}

/** A source whose lists say what they are told. */
function sourceOf(lists: Readonly<Record<string, string>>): ImageSource {
  return {
    reference: 'test',
    listReferrers: (subject: Digest) => {
      const letters = (lists[subject.at(-1) ?? ''] ?? '').split('');
      return (async function* list() {
        yield* letters.map((letter) => ({ mediaType: 'm', digest: digestOf(letter), size: 1, artifactType: letter }));
      })();
    },
  } as unknown as ImageSource;
}

async function find(lists: Readonly<Record<string, string>>): Promise<readonly Referrer[]> {
  const found: Referrer[] = [];
  const { signal } = new AbortController();
  for await (const level of findReferrers({ source: sourceOf(lists), signal }, [digestOf('0')]))
    found.push(...level.referrers);
  return found;
}

test('a tree is as deep as what refers to what, and ends in a circle', async () => {
  const lines = drawReferrers('app:1', await find({ 0: 'ab', a: 'c', c: '0a', b: 'c' }));
  const short = lines.map((line) =>
    line
      .replaceAll(/sha256:(.)\S*/g, '$1')
      .replaceAll(/ +/g, ' ')
      .trimEnd(),
  );
  assert.deepEqual(short, [
    'app:1',
    '└─ manifest 0',
    ' ├─ referrer a 1 B a',
    ' │ └─ referrer c 1 B c',
    ' │ ├─ referrer 0 1 B 0',
    ' │ └─ referrer a 1 B a',
    ' └─ referrer b 1 B b',
    ' └─ referrer c 1 B c',
  ]);
  assert.deepEqual(drawReferrers('app:1', []), ['nothing refers to app:1']);
});

test('a lattice of lists does not grow without end', async () => {
  const letters = '0123456789abcdef'.split('');
  const lists = Object.fromEntries(letters.map((letter) => [letter, letters.join('')]));
  assert.equal(drawReferrers('app:1', await find(lists)).length, 2 + letters.length ** 2);
});
