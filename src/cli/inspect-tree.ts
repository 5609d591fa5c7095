import {
  printable,
  formatPlatform,
  type Descriptor,
  type Digest,
  type ImageDescription,
  type LayerDescription,
  type ManifestDescription,
  type Referrer,
  type ReferrerDescription,
} from '../index.ts';
import { count, formatBytes, shortDigest } from './format.ts';

/** A line of the tree, and the lines below it. */
interface Branch {
  readonly name: string;
  readonly digest: string;
  readonly size: string;
  /** Its media type, and what that does not say. */
  readonly type: string;
  /** The same in a few words. */
  readonly kind: string;
  readonly below: readonly Branch[];
}

/** Which columns are shown, from the widest to the narrowest. */
const LAYOUTS: readonly ((branch: Branch) => readonly string[])[] = [
  ({ name, digest, size, type }) => [name, digest, size, type],
  ({ name, digest, size, kind }) => [name, digest, size, kind],
  ({ name, digest, size, kind }) => [name, shortened(digest), size, kind],
  ({ name, digest, size }) => [name, shortened(digest), size],
  ({ name, digest }) => [name, shortened(digest)],
  ({ name, digest }) => [name, shortDigest(digest)],
];

/** Annotations that tell people which image it is. @see https://github.com/opencontainers/image-spec/blob/main/annotations.md */
const NOTED_ANNOTATIONS: Readonly<Record<string, string>> = {
  version: 'org.opencontainers.image.version',
  revision: 'org.opencontainers.image.revision',
  created: 'org.opencontainers.image.created',
};

/**
 * An image as a tree of lines: manifests, and below them their configs and layers, with digests, sizes and media types.
 * @param columns  of the terminal, where there is one: columns are shortened or dropped until all lines fit.
 */
export function drawImage(image: ImageDescription, columns: number = Infinity): readonly string[] {
  const root = branchOf(image, image.platform === undefined ? '' : formatPlatform(image.platform));
  return [...[image.reference, ...notesOf(image)].map(printable), ...drawTree([root], columns)];
}

/** What refers to an image as a tree of lines, below what it refers to. */
export function drawReferrers(
  reference: string,
  referrers: readonly Referrer[],
  columns: number = Infinity,
): readonly string[] {
  if (referrers.length === 0) return [printable(`nothing refers to ${reference}`)];
  const bySubject = Map.groupBy(referrers, ({ subject }) => subject);
  const roots = new Set(bySubject.keys());
  for (const { descriptor, subject } of referrers) if (descriptor.digest !== subject) roots.delete(descriptor.digest);
  // What comes twice, or in a circle, is drawn with what is below it once.
  const below = (digest: Digest): readonly Branch[] => {
    const own = bySubject.get(digest) ?? [];
    bySubject.delete(digest);
    return own.map((referrer) => referrerBranch(referrer, below(referrer.descriptor.digest)));
  };
  const branches = [...roots, ...bySubject.keys()].flatMap((digest) =>
    bySubject.has(digest) ? [{ ...SUBJECT, digest, below: below(digest) }] : [],
  );
  return [printable(reference), ...drawTree(branches, columns)];
}

const SUBJECT = { name: 'manifest', size: '', type: '', kind: '' };

function drawTree(branches: readonly Branch[], columns: number): readonly string[] {
  const drawings = LAYOUTS.map((cellsOf) => draw(branches, '', cellsOf).map(printable));
  return drawings.find((lines) => lines.every((line) => line.length < columns)) ?? drawings.at(-1) ?? [];
}

function notesOf({ annotations = {} }: ImageDescription): readonly string[] {
  const notes = Object.entries(NOTED_ANNOTATIONS).flatMap(([name, key]) =>
    annotations[key] === undefined ? [] : [`${name} ${annotations[key]}`],
  );
  return notes.length === 0 ? [] : [notes.join(', ')];
}

function branchOf(manifest: ManifestDescription, name: string): Branch {
  const { manifests, config, layers, digest, subject, missing } = manifest;
  const below = [
    ...(subject === undefined ? [] : [contentBranch('subject', subject)]),
    ...(manifests ?? []).map((instance) => branchOf(instance, instanceName(instance))),
    ...(config === undefined ? [] : [contentBranch('config', config)]),
    ...(layers ?? []).map((layer) => contentBranch('layer', layer)),
    ...describedReferrers(manifest.referrers),
  ];
  return { name, digest, size: missing ? 'missing' : sizeOf(manifest), ...typesOf(manifest), below };
}

function describedReferrers(referrers: readonly ReferrerDescription[] = []): readonly Branch[] {
  return referrers.map((referrer) => referrerBranch(referrer, describedReferrers(referrer.referrers)));
}

function referrerBranch({ descriptor, type, tag }: Referrer, below: readonly Branch[]): Branch {
  const { digest, size, mediaType } = descriptor;
  const kind = type || mediaType;
  return {
    name: tag === undefined ? 'referrer' : `cosign ${type}`,
    digest,
    size: formatBytes(size),
    type: kind,
    kind,
    below,
  };
}

function instanceName({ platform, annotations, mediaType }: ManifestDescription): string {
  const kind = annotations?.['vnd.docker.reference.type'];
  if (kind !== undefined) return kind.replace(/-manifest$/, '');
  if (platform !== undefined) return formatPlatform(platform);
  return /manifest|index/.test(mediaType) ? 'manifest' : 'blob';
}

function typesOf({ artifactType, config, mediaType }: ManifestDescription): Pick<Branch, 'type' | 'kind'> {
  const content = artifactType ?? config?.mediaType;
  const isImage = content === undefined || /(?:container\.image|image\.config)\.v1\+json$/.test(content);
  const family = mediaType.includes('.docker.') ? 'Docker' : 'OCI';
  const plain = /index|list/.test(mediaType) ? `${family} index` : `${family} image`;
  return isImage ? { type: mediaType, kind: plain } : { type: `${mediaType} of ${content}`, kind: content };
}

/** The sum of what an image is made of, for that is what a copy of it moves. Of an index, each blob counts once. */
function sizeOf(manifest: ManifestDescription): string {
  const { manifests, layers, size } = manifest;
  const sizes = new Map<string, number>();
  collectSizes(manifest, sizes);
  const bytes = formatBytes([...sizes.values()].reduce((sum, one) => sum + one, 0));
  if (manifests !== undefined) return `${bytes} in ${count(manifests.length, 'entry', 'entries')}`;
  return layers === undefined ? formatBytes(size) : `${bytes} in ${count(layers.length, 'layer')}`;
}

function collectSizes(manifest: ManifestDescription, sizes: Map<string, number>): void {
  const { digest, size, config, layers = [], manifests = [] } = manifest;
  sizes.set(digest, size);
  for (const part of [...(config === undefined ? [] : [config]), ...layers]) {
    if ('size' in part) sizes.set(part.digest, part.size);
  }
  for (const instance of manifests) collectSizes(instance, sizes);
}

function contentBranch(name: string, content: Descriptor | LayerDescription): Branch {
  const compression = 'compression' in content ? content.compression : undefined;
  const mediaType = 'mediaType' in content ? content.mediaType : '';
  // A media type does not say that a layer is chunked.
  const isChunked = compression === 'zstd:chunked' || compression === 'estargz';
  return {
    name,
    digest: content.digest,
    size: 'size' in content ? formatBytes(content.size) : '',
    type: isChunked ? `${mediaType} (${compression})` : mediaType,
    kind: compression ?? '',
    below: [],
  };
}

function shortened(digest: string): string {
  return digest.replace(/^(sha\d+:[0-9a-f]{12})[0-9a-f]+$/, '$1…');
}

function draw(
  branches: readonly Branch[],
  indent: string,
  cellsOf: (branch: Branch) => readonly string[],
): readonly string[] {
  const rows = branches.map(cellsOf);
  const widths = [0, 1, 2].map((column) => Math.max(0, ...rows.map((cells) => cells[column]?.length ?? 0)));
  return branches.flatMap(({ below }, index) => {
    const isLast = index === branches.length - 1;
    const [name = '', digest = '', size = '', type = ''] = rows[index] ?? [];
    const [nameWidth = 0, digestWidth = 0, sizeWidth = 0] = widths;
    const cells = [
      ...(nameWidth === 0 ? [] : [name.padEnd(nameWidth)]),
      digest.padEnd(digestWidth),
      size.padStart(sizeWidth),
      type,
    ];
    const line = `${indent}${isLast ? '└─' : '├─'} ${cells.join('  ')}`.trimEnd();
    return [line, ...draw(below, `${indent}${isLast ? '   ' : '│  '}`, cellsOf)];
  });
}
