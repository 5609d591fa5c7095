import {
  printable,
  formatPlatform,
  type Descriptor,
  type ImageDescription,
  type ManifestDescription,
} from '../index.ts';
import { count, formatBytes } from './format.ts';

interface Branch {
  readonly columns: readonly string[];
  readonly below: readonly Branch[];
}

/**
 * An image as a tree of lines: manifests, and below them their configs and layers, with digests, sizes and media types.
 * @param columns  of the terminal, where there is one: digests are cut if that makes lines fit better.
 */
export function drawImage(image: ImageDescription, columns: number = Infinity): readonly string[] {
  const root = branchOf(image, image.platform === undefined ? '' : formatPlatform(image.platform));
  const lines = [image.reference, ...draw([root], '')].map(printable);
  if (lines.every((line) => line.length <= columns)) return lines;
  return lines.map((line) => line.replace(/ (sha\d+:[0-9a-f]{12})[0-9a-f]+ {2}/, ' $1…  '));
}

function branchOf(manifest: ManifestDescription, name: string): Branch {
  const { manifests, config, layers, digest, mediaType, subject, missing } = manifest;
  const below = [
    ...(subject === undefined ? [] : [contentBranch('subject', subject)]),
    ...(manifests ?? []).map((instance) => branchOf(instance, instanceName(instance))),
    ...(config === undefined ? [] : [contentBranch('config', config)]),
    ...(layers ?? []).map((layer) => contentBranch('layer', layer)),
  ];
  return { columns: [name, digest, missing ? 'is not there' : sizeOf(manifest), kindOf(manifest, mediaType)], below };
}

function instanceName({ platform, annotations, mediaType }: ManifestDescription): string {
  const kind = annotations?.['vnd.docker.reference.type'];
  if (kind !== undefined) return kind.replace(/-manifest$/, '');
  if (platform !== undefined) return formatPlatform(platform);
  return /manifest|index/.test(mediaType) ? 'manifest' : 'blob';
}

function kindOf({ artifactType, config }: ManifestDescription, mediaType: string): string {
  const type = artifactType ?? config?.mediaType;
  const isImage = type === undefined || /(?:container\.image|image\.config)\.v1\+json$/.test(type);
  return isImage ? mediaType : `${mediaType} of ${type}`;
}

/** Of an image, the sum of what it is made of: that is what a copy of it moves. */
function sizeOf({ config, layers, manifests, size }: ManifestDescription): string {
  if (manifests !== undefined) return count(manifests.length, 'entry', 'entries');
  if (layers === undefined) return formatBytes(size);
  const parts: readonly Partial<Descriptor>[] = config === undefined ? layers : [config, ...layers];
  const bytes = parts.reduce((sum, part) => sum + (part.size ?? 0), size);
  return `${formatBytes(bytes)} in ${count(layers.length, 'layer')}`;
}

function contentBranch(name: string, content: Descriptor | Pick<Descriptor, 'digest'>): Branch {
  const size = 'size' in content ? formatBytes(content.size) : '';
  return { columns: [name, content.digest, size, 'mediaType' in content ? content.mediaType : ''], below: [] };
}

function draw(branches: readonly Branch[], indent: string): readonly string[] {
  const widths = [0, 1, 2].map((column) => Math.max(0, ...branches.map(({ columns }) => columns[column]?.length ?? 0)));
  return branches.flatMap(({ columns, below }, index) => {
    const isLast = index === branches.length - 1;
    const [name = '', digest = '', size = '', type = ''] = columns;
    const [nameWidth = 0, digestWidth = 0, sizeWidth = 0] = widths;
    const cells = [
      ...(nameWidth === 0 ? [] : [name.padEnd(nameWidth)]),
      digest.padEnd(digestWidth),
      size.padStart(sizeWidth),
      type,
    ];
    const line = `${indent}${isLast ? '└─' : '├─'} ${cells.join('  ')}`.trimEnd();
    return [line, ...draw(below, `${indent}${isLast ? '   ' : '│  '}`)];
  });
}
