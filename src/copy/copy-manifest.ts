import { duringOperation } from '../errors/imgcopy-error.ts';
import type { Descriptor, Platform } from '../manifest/descriptor.ts';
import { isForeignLayerType } from '../manifest/media-types.ts';
import { formatPlatform } from '../manifest/platform.ts';
import type { BlobInfo, RawManifest } from '../types/blob-info.ts';
import type { BlobSet } from './blob-set.ts';
import type { BlobToCopy } from './copy-blob.ts';
import type { CopyRun } from './copy-run.ts';
import type { ImageNode, ManifestNode } from './manifest-tree.ts';

/** Copies all that a manifest needs, and then the manifest itself, unless it is the root: that is put by the caller, as the last one. */
export async function copyManifestTree(
  run: CopyRun,
  blobs: BlobSet,
  node: ManifestNode,
  isRoot: boolean,
): Promise<void> {
  const { raw, entry } = node;
  const platform = entry?.platform && formatPlatform(entry.platform);
  run.emit({ type: 'manifest', digest: raw.digest, mediaType: raw.mediaType, size: raw.bytes.length, platform });
  if ('instances' in node) {
    const listed = node.blobs.map((info) => blobs.copy(plainBlob(info, undefined)));
    const instances = node.instances.map(async (instance) => copyManifestTree(run, blobs, await instance, false));
    await Promise.all([...listed, ...instances]);
  } else {
    await copyBlobsOf(run, blobs, node);
  }
  if (!isRoot) await putInstance(run, raw);
}

async function copyBlobsOf(run: CopyRun, blobs: BlobSet, node: ImageNode): Promise<void> {
  const wanted = node.parsed.kind === 'schema1' ? await schema1Blobs(run, node) : imageBlobs(run, node);
  await Promise.all(wanted.map((blob) => blobs.copy(blob)));
}

function imageBlobs({ destination }: CopyRun, { parsed, entry }: ImageNode): readonly BlobToCopy[] {
  if (parsed.kind !== 'image') return [];
  const { config, layers } = parsed;
  const platform = entry?.platform;
  const wanted = layers.flatMap((info, layerIndex) =>
    staysForeign(destination.acceptsForeignLayerUrls, info) ? [] : [plainBlob(info, layerIndex, platform)],
  );
  return config === undefined
    ? wanted
    : [...wanted, { ...plainBlob(config, undefined, platform), name: 'config', isConfig: true }];
}

function plainBlob(info: BlobInfo, layerIndex: number | undefined, platform?: Platform): BlobToCopy {
  return { info, name: 'layer', isConfig: false, layerIndex, emptyLayer: false, platform, substitutable: undefined };
}

/** Schema 1 names its layers by digest alone, so their sizes have to be asked for. */
async function schema1Blobs({ source, signal }: CopyRun, { parsed }: ImageNode): Promise<readonly BlobToCopy[]> {
  if (parsed.kind !== 'schema1') return [];
  return Promise.all(
    parsed.layers.map(async ({ digest, empty }, layerIndex) => {
      const info: BlobInfo = { digest, size: await source.getBlobSize(digest, { signal }) };
      return { ...plainBlob(info, layerIndex), emptyLayer: empty };
    }),
  );
}

function staysForeign(acceptsForeignLayerUrls: boolean, layer: Descriptor): boolean {
  return acceptsForeignLayerUrls && isForeignLayerType(layer.mediaType) && (layer.urls?.length ?? 0) > 0;
}

async function putInstance({ source, destination, signal }: CopyRun, raw: RawManifest): Promise<void> {
  const instanceDigest = raw.digest;
  try {
    await destination.putManifest(raw, { instanceDigest, signal });
    const signatures = destination.supportsSignatures()
      ? await source.getSignaturesWithFormat({ instanceDigest, signal })
      : [];
    if (signatures.length > 0) await destination.putSignaturesWithFormat(signatures, { instanceDigest, signal });
  } catch (error) {
    throw duringOperation(`writing manifest ${instanceDigest} to ${destination.reference}`, error);
  }
}
