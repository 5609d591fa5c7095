import { digestAlgorithm, digestOf, type Digest } from '../digest/digest.ts';
import { duringOperation } from '../errors/imgcopy-error.ts';
import { replaceInstances, replaceLayers, type Replacement } from '../manifest/edit-manifest.ts';
import { formatPlatform } from '../manifest/platform.ts';
import { Attempts, type NextAttempt } from '../retry/attempts.ts';
import type { RawManifest } from '../contract/blob-info.ts';
import { servedFrom } from '../contract/image-source.ts';
import { MissingBlobsError } from '../contract/errors.ts';
import type { PutManifestOptions } from '../contract/image-destination.ts';
import type { BlobSet } from './blob-set.ts';
import type { BlobToCopy } from './blob-to-copy.ts';
import type { CopyRun } from './copy-run.ts';
import { blobsOf } from './image-blobs.ts';
import type { ImageNode, IndexNode, ManifestNode } from './manifest-tree.ts';
import { isInTurn, isSerial } from './serial.ts';
import { signaturesToCopy } from './signatures.ts';
import { refuseSubstitution, replacementsOf } from './substitution.ts';

/** A manifest whose blobs and instances are at the destination: the source's own, unless blobs were substituted. */
export interface ReadyManifest {
  readonly manifest: RawManifest;
  /** What it names, to be sent again should the destination not have it after all. */
  readonly blobs: readonly BlobToCopy[];
}

/** Copies all that a manifest needs: its blobs, or the instances of an index with their manifests. Not the manifest itself. */
export async function copyManifestTree(run: CopyRun, blobs: BlobSet, node: ManifestNode): Promise<ReadyManifest> {
  const { raw, entry } = node;
  const platform = entry?.platform && formatPlatform(entry.platform);
  const { bytes, digest, mediaType } = raw;
  run.emit({ type: 'manifest', digest, mediaType, size: bytes.length, platform, from: servedFrom(run.source, digest) });
  return 'instances' in node ? copyInstances(run, blobs, node) : copyBlobs(run, blobs, node);
}

/** Puts a manifest. Where blobs that should have been there are not, these are sent, and the manifest put once more. */
export async function putReadyManifest(
  run: CopyRun,
  blobs: BlobSet,
  ready: ReadyManifest,
  options: PutManifestOptions,
): Promise<void> {
  const { destination, signal } = run;
  try {
    await destination.putManifest(ready.manifest, { ...options, signal });
  } catch (error) {
    if (!(error instanceof MissingBlobsError) || isSerial(run)) throw error;
    if (!(await blobs.sendMissing(ready.blobs))) {
      if (error.isSuspicion) throw error.cause;
      await giveTime(run, ready, error);
    }
    await destination.putManifest(ready.manifest, { ...options, signal });
  }
}

/** ECR may see a blob only a moment after it took it (ocync#104). */
async function giveTime({ policy, emit, signal }: CopyRun, { manifest }: ReadyManifest, lack: Error): Promise<void> {
  const what = `manifest ${manifest.digest}`;
  const notify = (retried: NextAttempt): void => emit({ type: 'retry', side: 'destination', what, ...retried });
  const attempts = new Attempts({ policy, signal, notify });
  if (!(await attempts.again({ why: lack.message }))) throw lack;
}

async function copyBlobs(run: CopyRun, blobs: BlobSet, node: ImageNode): Promise<ReadyManifest> {
  const wanted = await blobsOf(run, node);
  const copied = await Promise.all(wanted.map(async (blob) => ({ blob, copy: await blobs.copy(blob) })));
  const replacements = replacementsOf(run, copied);
  const bytes = replacements.size === 0 ? node.raw.bytes : replaceLayers(node.raw.bytes, replacements);
  return { manifest: withBytes(node.raw, bytes), blobs: wanted };
}

async function copyInstances(run: CopyRun, blobs: BlobSet, node: IndexNode): Promise<ReadyManifest> {
  const listed = node.blobs.map((info) => ({ ...PLAIN_BLOB, info }));
  const copyInstance = async (reading: Promise<ManifestNode>): Promise<readonly [Digest, RawManifest]> => {
    const instance = await reading;
    const { digest } = instance.raw;
    const signatures = await signaturesToCopy(run, digest);
    if (run.substitute) refuseSubstitution({ isSigned: signatures.length > 0 });
    const ready = await copyManifestTree(run, blobs, instance);
    await putInstance(run, blobs, ready, signatures);
    return [digest, ready.manifest];
  };
  const copying = isInTurn(run) ? inTurn(node.instances, copyInstance) : Promise.all(node.instances.map(copyInstance));
  if (isInTurn(run)) await copying;
  const [copies] = await Promise.all([copying, Promise.all(listed.map((blob) => blobs.copy(blob)))]);
  const changed = copies.filter(([digest, manifest]) => digest !== manifest.digest);
  const replacements = new Map<Digest, Replacement>(
    changed.map(([digest, manifest]) => [digest, { ...manifest, size: manifest.bytes.length }]),
  );
  const bytes = replacements.size === 0 ? node.raw.bytes : replaceInstances(node.raw.bytes, replacements);
  return { manifest: withBytes(node.raw, bytes), blobs: listed };
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await work(item));
  return results;
}

const PLAIN_BLOB = {
  name: 'blob',
  isConfig: false,
  layerIndex: undefined,
  platform: undefined,
  substitutable: undefined,
};

async function putInstance(
  run: CopyRun,
  blobs: BlobSet,
  ready: ReadyManifest,
  signatures: readonly Buffer[],
): Promise<void> {
  const { destination, signal } = run;
  const instanceDigest = ready.manifest.digest;
  try {
    const put = (): Promise<void> => putReadyManifest(run, blobs, ready, { instanceDigest });
    // A directory has an instance's manifest only with its own image's commit.
    const isThereAtOnce = destination.repository !== undefined;
    await (isThereAtOnce && run.content !== undefined ? run.content.once(instanceDigest, put) : put());
    if (signatures.length > 0) await destination.putSignaturesWithFormat?.(signatures, { instanceDigest, signal });
  } catch (error) {
    throw duringOperation(`writing manifest ${instanceDigest} to ${destination.reference}`, error);
  }
}

function withBytes(raw: RawManifest, bytes: Buffer): RawManifest {
  if (bytes === raw.bytes) return raw;
  return { bytes, mediaType: raw.mediaType, digest: digestOf(bytes, digestAlgorithm(raw.digest)) };
}
