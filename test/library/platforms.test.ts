import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyImage, getImageDigest, inspectImage, parsePlatform } from '../../src/index.ts';
import { buildImage, buildIndex, buildSchema1, randomBytes } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';
import { at, openHome } from './test-copier.ts';

const names = ['linux/amd64', 'linux/arm64', 'windows/amd64:10.0.17763.1', 'windows/amd64:10.0.20348.1'];
const images = names.map((name) => {
  const platform = parsePlatform(name);
  return { platform, image: buildImage({ platform, layers: [randomBytes(name, 100)] }) };
});
const [amd64, arm64, , windows] = images.map(({ image }) => image.manifest.digest);
const index = buildIndex({ images });
const tags = {
  index,
  nested: buildIndex({ images: [{ image: index }] }),
  image: images[0]?.image ?? index,
  schema1: buildSchema1({ layers: [randomBytes('old', 100)] }),
};

const cases: readonly (readonly [tag: keyof typeof tags, platform: string, digest: string | undefined])[] = [
  ['index', 'windows/amd64:10.0.20348.1', windows],
  ['index', 'windows/amd64:10.0.20348', windows],
  ['index', 'windows/amd64:10.0.20348.2', undefined],
  ['index', 'windows/amd64/10.0.20348.1', undefined],
  ['nested', 'linux/arm64', arm64],
  ['nested', 'linux/arm64/v9', arm64],
  ['nested', 'linux/arm64/v77', undefined],
  ['image', 'linux/amd64', amd64],
  ['image', 'linux/arm64', undefined],
  ['schema1', 'linux/amd64', tags.schema1.manifest.digest],
  ['schema1', 'linux/arm64', undefined],
];

for (const [tag, name, digest] of cases) {
  const what = digest === undefined ? 'finds nothing' : 'finds the same image';
  test(`${what} for ${name} in ${tag}, whether asked to copy, inspect or tell the digest`, async (t) => {
    await using from = await startRegistry();
    await using to = await startRegistry();
    const { env } = await openHome(t);
    for (const [one, image] of Object.entries(tags)) from.seed('app', one, image);
    const endpoint = { plainHttp: true };
    const platform = parsePlatform(name);
    const source = at(from, `app:${tag}`);
    const copying = { env, source: endpoint, destination: endpoint, platforms: [platform] };
    const asked = [
      async () => (await copyImage(source, at(to, 'copy:v1'), copying)).digest,
      async () => (await inspectImage(source, { env, endpoint, platform })).digest,
      async () => getImageDigest(source, { env, endpoint, platform }),
    ];
    for (const ask of asked) {
      if (digest !== undefined) assert.equal(await ask(), digest);
      else await assert.rejects(ask, { code: 'ERR_PLATFORM_NOT_FOUND', kind: 'not-found' });
    }
    assert.equal(to.manifest('copy', 'v1')?.digest, digest);
  });
}
