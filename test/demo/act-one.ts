import { join } from 'node:path';
import { formatPlatform } from '../../src/manifest/platform.ts';
import type { TestImage } from '../support/images.ts';
import type { TestRegistry } from '../support/registry.ts';
import { isWhole } from '../transports/dir/image-directory.ts';
import { act, heading, megabytes, say, table } from './printing.ts';
import { buildSample, type Sample } from './sample-images.ts';
import { check, perform, showCounts, type Stage } from './stage.ts';

/** An image of several platforms goes to another registry and to a directory, and then again. @returns the number of copies. */
export async function actOne(stage: Stage): Promise<number> {
  const { source, mirror, folder } = stage;
  const sample = buildSample();
  const { image } = sample;
  source.seed('shop/web', '1.0', image);
  const from = `docker://${source.host}/shop/web:1.0`;
  const to = `docker://${mirror.host}/mirror/web:1.0`;
  const directory = 'dir:web';

  act('Act one', 'an image of three platforms');
  introduce(sample);

  heading('From one registry to another');
  await perform(stage, [from, to]);
  showCounts(stage);
  check(holdsAll(mirror, 'mirror/web', '1.0', image), 'The mirror has the same manifests and blobs, byte for byte.');
  const sharedReads = source.count({ method: 'GET', path: new RegExp(sample.shared) });
  check(sharedReads === 1, 'The pages, a layer of all three platforms, were read once.');

  heading('From there to a directory');
  await perform(stage, [to, directory]);
  showCounts(stage);
  check(
    await isWhole(join(folder, 'web'), image),
    'The directory has them too, in the layout that skopeo calls dir: as well.',
  );

  heading('The same again');
  await perform(stage, [from, to]);
  showCounts(stage);
  check(isUnmoved(stage), 'One request on each side, for the manifest. No blob was asked for.');
  say('');
  await perform(stage, [to, directory]);
  showCounts(stage);
  check(isUnmoved(stage), 'One request in all. No blob was asked for.');
  return 4;
}

/** Whether the last command asked each registry for a manifest at most. */
function isUnmoved({ source, mirror }: Stage): boolean {
  return [source, mirror].every((registry) => registry.count() <= 1 && registry.count({ path: /\/blobs\// }) === 0);
}

function introduce({ image, instances }: Sample): void {
  const bytes = [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0);
  const manifests = image.instances.length + 1;
  say('');
  say(`shop/web:1.0 has ${image.blobs.size} blobs, ${megabytes(bytes)} in all, under ${manifests} manifests:`);
  const head = ['platform', ...(instances[0]?.layers.map(({ name }) => name) ?? [])];
  table([
    head,
    ...instances.map(({ platform, layers }) => [
      formatPlatform(platform),
      ...layers.map(({ size, isShared }) => `${megabytes(size)}${isShared ? ', the same for all' : ''}`),
    ]),
  ]);
}

function holdsAll(registry: TestRegistry, repository: string, tag: string, image: TestImage): boolean {
  const manifests = [
    { wanted: image.manifest, found: registry.manifest(repository, tag) },
    ...image.instances.map((wanted) => ({ wanted, found: registry.manifest(repository, wanted.digest) })),
  ];
  return (
    manifests.every(({ wanted, found }) => found?.bytes.equals(wanted.bytes)) &&
    [...image.blobs].every(([digest, bytes]) => registry.blob(repository, digest)?.equals(bytes))
  );
}
