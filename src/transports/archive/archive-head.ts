import type { LeftOutBlobs, RawManifest } from '../../contract/blob-info.ts';
import { ImgcopyError } from '../../errors/imgcopy-error.ts';
import type { Descriptor } from '../../manifest/descriptor.ts';
import { INDEX_FILE, LAYOUT_FILE, LAYOUT_FILE_BYTES, layoutBlobPath } from '../../manifest/image-layout.ts';
import type { ImageManifest } from '../../manifest/manifest.ts';
import { isManifestType, MediaType } from '../../manifest/media-types.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import { localPlatform, matchPlatform } from '../../manifest/platform.ts';
import type { ArchiveForm } from './archive-form.ts';
import { DELTA_FILE, formatDeltaMark } from './delta-mark.ts';
import { tagInFullName } from './image-name.ts';
import { MANIFEST_FILE } from './saved-image.ts';

/** A small member. */
export interface SmallMember {
  readonly name: string;
  readonly bytes: Buffer;
}

/** What an archive is to hold. */
export interface ArchiveContent {
  readonly form: ArchiveForm;
  /** Of an OCI archive, the reference in it; of docker's, the full name. Undefined for an image without a name. */
  readonly name: string | undefined;
  /** The image's own first. */
  readonly manifests: readonly RawManifest[];
  readonly leftOut: LeftOutBlobs | undefined;
}

/**
 * The members that come before all blobs, so that who reads the archive in one pass knows what each of them is: what lists the image, then its manifests.
 * @throws ImgcopyError ERR_NOT_STORABLE (kind `usage`) for what docker cannot store.
 */
export function headOf(content: ArchiveContent): readonly SmallMember[] {
  const { manifests, leftOut } = content;
  return [
    { name: LAYOUT_FILE, bytes: LAYOUT_FILE_BYTES },
    // Before the index, which is what a reader waits for.
    ...(leftOut === undefined ? [] : [{ name: DELTA_FILE, bytes: formatDeltaMark(leftOut) }]),
    { name: INDEX_FILE, bytes: indexOf(content) },
    ...dockerList(content).map((bytes) => ({ name: MANIFEST_FILE, bytes })),
    ...manifests.map(({ digest, bytes }) => ({ name: layoutBlobPath(digest), bytes })),
  ];
}

/** All that a manifest names but other manifests. */
export function blobsOf({ bytes, mediaType }: RawManifest): readonly Descriptor[] {
  const manifest = parseManifest(bytes, mediaType);
  if (manifest.kind === 'index') return manifest.manifests.filter((entry) => !isManifestType(entry.mediaType));
  if (manifest.kind !== 'image') return [];
  return manifest.config === undefined ? manifest.layers : [...manifest.layers, manifest.config];
}

function indexOf({ form, name, manifests: [root] }: ArchiveContent): Buffer {
  if (root === undefined) throw new Error('an archive without an image');
  const { mediaType, digest, bytes } = root;
  const annotations = name === undefined ? undefined : namesIn(form, name);
  return json({
    schemaVersion: 2,
    mediaType: MediaType.ociIndex,
    manifests: [{ mediaType, digest, size: bytes.length, annotations }],
  });
}

/** containerd and docker take the full name from an annotation of their own, and the tag from the one of OCI. */
function namesIn(form: ArchiveForm, name: string): Readonly<Record<string, string>> {
  const refName = 'org.opencontainers.image.ref.name';
  if (form === 'oci') return { [refName]: name };
  return { 'io.containerd.image.name': name, [refName]: tagInFullName(name) };
}

/** What docker's loaders read, none where an OCI layout is wanted alone. Of an index, they take the image for this machine, or else the first. */
function dockerList({ form, name, manifests }: ArchiveContent): readonly Buffer[] {
  if (form === 'oci') return [];
  const [root] = manifests;
  const images = form === 'docker' ? manifests.slice(0, 1) : [localImage(manifests), ...manifests];
  const [entry] = images.flatMap((raw) => (raw === undefined ? [] : entriesOf(raw, name)));
  if (entry !== undefined) return [json([entry])];
  if (form === 'docker') throw notForDocker(root);
  return [];
}

function localImage(manifests: readonly RawManifest[]): RawManifest | undefined {
  const [root] = manifests;
  const index = root && parseManifest(root.bytes, root.mediaType);
  const entry = index?.kind === 'index' ? matchPlatform(index.manifests, localPlatform()) : undefined;
  return manifests.find(({ digest }) => digest === entry?.digest);
}

/** @see https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md#combined-image-json--filesystem-changeset-format */
function entriesOf({ bytes, mediaType }: RawManifest, name: string | undefined): readonly object[] {
  const image = parseManifest(bytes, mediaType);
  if (image.kind !== 'image' || image.config === undefined || image.isArtifact) return [];
  return [entryOf(image, image.config, name)];
}

function entryOf({ layers }: ImageManifest, config: Descriptor, name: string | undefined): object {
  return {
    Config: layoutBlobPath(config.digest),
    RepoTags: name === undefined ? [] : [name],
    Layers: layers.map(({ digest }) => layoutBlobPath(digest)),
  };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function notForDocker(manifest: RawManifest | undefined): ImgcopyError {
  return new ImgcopyError(
    `docker-archive: cannot store ${manifest?.mediaType ?? 'nothing'} that is not a container image`,
    {
      code: 'ERR_NOT_STORABLE',
      kind: 'usage',
      side: 'destination',
      hint: 'write it as oci-archive:',
    },
  );
}
