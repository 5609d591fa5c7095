import { readFile } from 'node:fs/promises';
import { digestHex, type Digest } from '../../src/digest/digest.ts';
import type { BlobInfo } from '../../src/contract/blob-info.ts';

const FIXTURES = new URL('../fixtures/images/', import.meta.url);

export type FixtureFormat = 'zstdchunked' | 'zstdchunked-old' | 'estargz' | 'gzip';
export type FixtureVersion = 'v1' | 'v2';

/** An image of test/fixtures/images; its README says what is in it. */
export interface FixtureImage {
  readonly manifest: BlobInfo;
  readonly manifestBytes: Buffer;
  readonly config: BlobInfo;
  /** The base, and the app on it. */
  readonly layers: readonly [BlobInfo, BlobInfo];
  readonly blob: (digest: Digest) => Promise<Buffer>;
}

export async function fixtureImage(format: FixtureFormat, version: FixtureVersion): Promise<FixtureImage> {
  const layout = new URL(`${format}/${version}/`, FIXTURES);
  const blob = (digest: Digest): Promise<Buffer> => readFile(new URL(`blobs/sha256/${digestHex(digest)}`, layout));
  const index = JSON.parse(await readFile(new URL('index.json', layout), 'utf8')) as { manifests: [BlobInfo] };
  const [manifest] = index.manifests;
  const manifestBytes = await blob(manifest.digest);
  const { config, layers } = JSON.parse(manifestBytes.toString()) as Pick<FixtureImage, 'config' | 'layers'>;
  return { manifest, manifestBytes, config, layers, blob };
}
