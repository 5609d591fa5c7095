import { ImgcopyError } from '../errors/imgcopy-error.ts';
import type { ImageSource } from '../contract/image-source.ts';
import type { Digest } from '../digest/digest.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import type { ImageManifest, Schema1Manifest } from '../manifest/manifest.ts';
import { isForeignLayer } from '../manifest/media-types.ts';
import type { BlobInfo } from '../contract/blob-info.ts';
import type { BlobToCopy } from './blob-to-copy.ts';
import type { CopyRun } from './copy-run.ts';
import { different, type ImageNode, type ManifestNode } from './manifest-tree.ts';

/** The blobs that an image needs at the destination, its layers first. */
export async function blobsOf(run: CopyRun, { parsed, entry }: ImageNode): Promise<readonly BlobToCopy[]> {
  return parsed.kind === 'schema1' ? schema1Blobs(run, parsed) : imageBlobs(run, parsed, entry?.platform);
}

/** All blobs below a manifest, each once, in the order in which a serial copy puts them. */
export async function blobsOfTree(run: CopyRun, node: ManifestNode): Promise<readonly BlobInfo[]> {
  if (!('instances' in node)) return different((await blobsOf(run, node)).map(({ info }) => info));
  const below = [];
  for (const instance of node.instances) below.push(...(await blobsOfTree(run, await instance)));
  return different([...below, ...node.blobs]);
}

function imageBlobs(run: CopyRun, manifest: ImageManifest, platform: Platform | undefined): readonly BlobToCopy[] {
  const { config, layers, mediaType, isArtifact } = manifest;
  const substitutable = run.substitute && !isArtifact ? { manifestMediaType: mediaType } : undefined;
  const wanted = layers.flatMap((info, layerIndex) => {
    if (staysForeign(run, info)) return [];
    return [{ info, name: 'layer', isConfig: false, layerIndex, platform, substitutable }];
  });
  if (config === undefined) return wanted;
  const plain = { layerIndex: undefined, platform, substitutable: undefined };
  return [...wanted, { info: config, name: 'config', isConfig: true, ...plain }];
}

/** Schema 1 names its layers by digest alone, so their sizes have to be asked for. */
async function schema1Blobs({ source, signal }: CopyRun, { layers }: Schema1Manifest): Promise<readonly BlobToCopy[]> {
  const sizes = new Map<Digest, Promise<number>>();
  const sizeOf = (digest: Digest): Promise<number> => {
    const size = sizes.get(digest) ?? blobSize(source, digest, signal);
    sizes.set(digest, size);
    return size;
  };
  return Promise.all(
    layers.map(async ({ digest }, fromTop) => {
      const info: BlobInfo = { digest, size: await sizeOf(digest) };
      return {
        info,
        name: 'layer',
        isConfig: false,
        layerIndex: layers.length - 1 - fromTop,
        platform: undefined,
        substitutable: undefined,
      };
    }),
  );
}

async function blobSize(source: ImageSource, digest: Digest, signal: AbortSignal): Promise<number> {
  if (source.getBlobSize !== undefined) return source.getBlobSize(digest, { signal });
  throw new ImgcopyError(`cannot find out the size of blob ${digest} of ${source.reference}`, {
    code: 'ERR_BLOB_SIZE',
    side: 'source',
  });
}

/** Layers that must not be given away (Windows' base layers) stay where their URLs say, if the destination lets them and the user wants no copy. */
function staysForeign({ destination, includeForeign }: CopyRun, layer: Descriptor): boolean {
  return destination.acceptsForeignLayerUrls === true && !includeForeign && isForeignLayer(layer);
}
