import { digestOf } from '../../src/digest/digest.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import type { RawManifest } from '../../src/contract/blob-info.ts';
import type { TestImage } from './images.ts';

/** The image with other fields in the descriptor of its first layer. */
export function withLayerFields(image: TestImage, fields: object): TestImage {
  const document = JSON.parse(String(image.manifest.bytes)) as { layers: object[] };
  document.layers[0] = { ...document.layers[0], ...fields };
  const bytes = Buffer.from(JSON.stringify(document));
  const manifest: RawManifest = { bytes, mediaType: image.manifest.mediaType, digest: digestOf(bytes) };
  return { ...image, manifest };
}

/** The image, its first layer kept at these URLs, as Windows' base layers are. */
export function withForeignLayer(image: TestImage, urls: readonly string[]): TestImage {
  return withLayerFields(image, { mediaType: MediaType.ociForeignLayerGzip, urls });
}
