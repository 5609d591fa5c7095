import { Readable } from 'node:stream';
import { pushBlob, pushManifest, type Repository } from '../../bench/push.ts';
import { fixtureImage, type FixtureFormat, type FixtureVersion } from './fixture-images.ts';
import { buildArtifact, buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from './images.ts';

/** Images of every shape that registries hold, by what they are. */
export const sampleImages: Readonly<Record<string, TestImage>> = {
  'an index of three platforms': buildIndex({
    images: ['amd64', 'arm64', 's390x'].map((architecture) => ({
      image: buildImage({
        platform: { os: 'linux', architecture },
        layers: ['base', `libraries of ${architecture}`, `program of ${architecture}`].map((name) =>
          tarGzLayer({ [name]: randomBytes(name, 700_000) }),
        ),
      }),
      platform: { os: 'linux', architecture },
    })),
  }),
  'a Docker image of 60 layers': buildImage({ format: 'docker', layers: { count: 60, size: 20_000 } }),
  'an artifact of a type of its own': buildArtifact({
    artifactType: 'application/vnd.example.report.v1+json',
    configMediaType: 'application/vnd.example.report.config.v1+json',
    fileMediaType: 'application/vnd.example.report.pages.v1',
    files: { 'report.txt': 'all is well', 'pages.bin': randomBytes('pages', 300_000) },
    annotations: { 'org.example.author': 'ann' },
  }),
};

/** A fixture with all its blobs in memory. */
export async function loadFixture(format: FixtureFormat, version: FixtureVersion): Promise<TestImage> {
  const { manifest, manifestBytes, config, layers, blob } = await fixtureImage(format, version);
  const { digest, mediaType = '' } = manifest;
  const blobs = await Promise.all(
    [config, ...layers].map(async (info) => [info.digest, await blob(info.digest)] as const),
  );
  return { manifest: { digest, mediaType, bytes: manifestBytes }, instances: [], blobs: new Map(blobs) };
}

/** Pushes an image to a real registry, with none of imgcopy's code. */
export async function pushTestImage(repository: Repository, tag: string, image: TestImage): Promise<void> {
  for (const bytes of image.blobs.values()) await pushBlob(repository, Readable.from([bytes]));
  for (const { bytes, mediaType, digest } of image.instances)
    await pushManifest(repository, bytes, { mediaType, as: digest });
  const { bytes, mediaType } = image.manifest;
  await pushManifest(repository, bytes, { mediaType, as: tag });
}
