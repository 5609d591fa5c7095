import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { digestHex, digestOf, type Digest } from '../../../src/digest/digest.ts';
import { layoutBlobPath } from '../../../src/manifest/image-layout.ts';
import { parseManifest } from '../../../src/manifest/parse-manifest.ts';
import type { TestImage } from '../../support/images.ts';

const BLOCK = 512;

/** A member of a tar archive, byte by byte: what it says need not be true. */
export interface RawMember {
  readonly name: string;
  readonly bytes?: Buffer | undefined;
  /** As the header says. Default: that of the bytes. */
  readonly size?: number | undefined;
  /** The type flag. Default `0`, a file. */
  readonly type?: string | undefined;
  readonly linkName?: string | undefined;
  /** Records of an extended header before it. */
  readonly pax?: Readonly<Record<string, string>> | undefined;
}

export function tarBlocks({
  name,
  bytes = Buffer.alloc(0),
  size = bytes.length,
  type,
  linkName,
  pax,
}: RawMember): Buffer {
  const padding = Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK);
  const own = Buffer.concat([header({ name, size, type, linkName }), bytes, padding]);
  if (pax === undefined) return own;
  const records = Buffer.from(
    Object.entries(pax)
      .map(([key, value]) => paxRecord(key, value))
      .join(''),
  );
  return Buffer.concat([tarBlocks({ name: 'PaxHeaders/x', type: 'x', bytes: records }), own]);
}

/** A whole archive. */
export function tarOf(members: readonly RawMember[]): Buffer {
  return Buffer.concat([...members.map(tarBlocks), Buffer.alloc(2 * BLOCK)]);
}

function header({ name, size = 0, type = '0', linkName = '' }: RawMember): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100);
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('00000000000\0', 136);
  block.write(' '.repeat(8), 148);
  block.write(type, 156);
  block.write(linkName, 157, 100);
  block.write('ustar\x0000', 257);
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-archive-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes an archive. @returns its path. */
export async function writeArchive(t: TestContext, members: readonly RawMember[], name = 'image.tar'): Promise<string> {
  const path = join(await temporaryFolder(t), name);
  await writeFile(path, tarOf(members));
  return path;
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** The blobs of an image in a layout, its manifests among them. */
export function layoutBlobs({ manifest, instances, blobs }: TestImage): readonly RawMember[] {
  const manifests = [manifest, ...instances].map(({ digest, bytes }) => [digest, bytes] as const);
  return [...manifests, ...blobs].map(([digest, bytes]) => ({ name: layoutBlobPath(digest), bytes }));
}

/** The files that make an OCI layout of images, by their names in it. */
export function layoutFiles(
  images: readonly (readonly [name: string | undefined, image: TestImage])[],
): readonly RawMember[] {
  const manifests = images.map(([name, { manifest }]) => ({
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    annotations: name === undefined ? undefined : { 'org.opencontainers.image.ref.name': name },
  }));
  return [
    { name: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', bytes: json({ schemaVersion: 2, manifests }) },
  ];
}

/** An OCI archive as skopeo and tar write it: sorted, so that the index comes after the blobs. */
export function ociArchive(image: TestImage, name?: string): readonly RawMember[] {
  const files = [...layoutFiles([[name, image]]), ...layoutBlobs(image)];
  return files.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** What `docker save` writes up to Docker 24, for an image of gzipped layers: its layers uncompressed, those that are equal as links. */
export function dockerSave(image: TestImage, tags: readonly string[]): readonly RawMember[] {
  const { config, layers } = partsOf(image);
  const seen = new Map<Digest, string>();
  const folders = layers.map((layer, index) => {
    const folder = digestHex(digestOf(Buffer.from(`v1 ${index}`)));
    const diffId = digestOf(layer);
    const first = seen.get(diffId);
    seen.set(diffId, first ?? folder);
    const file = `${folder}/layer.tar`;
    const stored: RawMember =
      first === undefined ? { name: file, bytes: layer } : { name: file, type: '2', linkName: `../${first}/layer.tar` };
    return {
      file,
      members: [
        { name: `${folder}/`, type: '5' },
        { name: `${folder}/VERSION`, bytes: Buffer.from('1.0') },
        { name: `${folder}/json`, bytes: json({ id: folder }) },
        stored,
      ],
    };
  });
  const configName = `${digestHex(digestOf(config))}.json`;
  const list = [{ Config: configName, RepoTags: tags, Layers: folders.map(({ file }) => file) }];
  return [
    ...folders.flatMap(({ members }) => members),
    { name: configName, bytes: config },
    { name: 'manifest.json', bytes: json(list) },
    { name: 'repositories', bytes: json({}) },
  ];
}

/** What skopeo and podman write as `docker-archive:`: uncompressed layers by their digests, and what lists them last. */
export function skopeoArchive(image: TestImage, tags: readonly string[]): readonly RawMember[] {
  const { config, layers } = partsOf(image);
  const names = layers.map((layer) => `${digestHex(digestOf(layer))}.tar`);
  const configName = `${digestHex(digestOf(config))}.json`;
  const list = [{ Config: configName, RepoTags: tags, Layers: names }];
  return [
    ...layers.flatMap((bytes, at) => [
      { name: names[at] ?? '', bytes },
      { name: `v1-${at}/layer.tar`, type: '2', linkName: `../${names[at]}` },
      { name: `v1-${at}/json`, bytes: json({ id: `v1-${at}` }) },
    ]),
    { name: configName, bytes: config },
    { name: 'repositories', bytes: json({}) },
    { name: 'manifest.json', bytes: json(list) },
  ];
}

/** What `crane pull` writes: layers as the registry has them, by their digests. */
export function craneArchive({ blobs }: TestImage, tags: readonly string[]): readonly RawMember[] {
  const [config = Buffer.alloc(0), ...layers] = [...blobs.values()];
  const names = layers.map((layer) => `${digestHex(digestOf(layer))}.tar.gz`);
  const configName = digestOf(config);
  const list = [{ Config: configName, RepoTags: tags, Layers: names }];
  return [
    { name: configName, bytes: config },
    ...layers.map((bytes, at) => ({ name: names[at] ?? '', bytes })),
    { name: 'manifest.json', bytes: json(list) },
  ];
}

/** What `docker save` writes from Docker 25 on: the same as an OCI layout with uncompressed layers, and `manifest.json` beside it. */
export function dockerSave25(
  image: TestImage,
  tag: string,
): { readonly members: readonly RawMember[]; readonly image: TestImage } {
  const plain = withPlainLayers(image);
  const { config, layers } = partsOf(plain);
  const fullName = `docker.io/library/${tag}`;
  const { mediaType, digest, bytes } = plain.manifest;
  const annotations = { 'io.containerd.image.name': fullName, 'org.opencontainers.image.ref.name': tag.split(':')[1] };
  const manifests = [{ mediaType, digest, size: bytes.length, annotations }];
  const list = [
    {
      Config: layoutBlobPath(digestOf(config)),
      RepoTags: [tag],
      Layers: layers.map((layer) => layoutBlobPath(digestOf(layer))),
    },
  ];
  const members = [
    { name: 'blobs/', type: '5' },
    { name: 'blobs/sha256/', type: '5' },
    ...layoutBlobs(plain),
    { name: 'index.json', bytes: json({ schemaVersion: 2, manifests }) },
    { name: 'manifest.json', bytes: json(list) },
    { name: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'repositories', bytes: json({}) },
  ];
  return { members, image: plain };
}

/** The image that Docker makes of one with gzipped layers: an OCI manifest of the same config, and layers that are not compressed. */
export function withPlainLayers(image: TestImage): TestImage {
  const { config, layers } = partsOf(image);
  const describe = (bytes: Buffer, mediaType: string): object => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const bytes = json({
    schemaVersion: 2,
    mediaType,
    config: describe(config, 'application/vnd.oci.image.config.v1+json'),
    layers: layers.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar')),
  });
  const blobs = new Map([config, ...layers].map((blob) => [digestOf(blob), blob]));
  return { manifest: { bytes, mediaType, digest: digestOf(bytes) }, instances: [], blobs };
}

/** The config and the uncompressed layers of an image. */
function partsOf({ manifest, blobs }: TestImage): { readonly config: Buffer; readonly layers: readonly Buffer[] } {
  const parsed = parseManifest(manifest.bytes, manifest.mediaType);
  if (parsed.kind !== 'image' || parsed.config === undefined) throw new Error('not an image');
  const bytesOf = (digest: Digest): Buffer => blobs.get(digest) ?? Buffer.alloc(0);
  const plain = (bytes: Buffer): Buffer => (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
  return { config: bytesOf(parsed.config.digest), layers: parsed.layers.map(({ digest }) => plain(bytesOf(digest))) };
}
