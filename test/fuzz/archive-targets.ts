import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { openImage } from '../../src/transports/archive/archive-form.ts';
import { ArchiveSource } from '../../src/transports/archive/archive-source.ts';
import { ArchiveStream } from '../../src/transports/archive/archive-stream.ts';
import { buildImage, tarGzLayer } from '../support/images.ts';
import { dockerSave, dockerSave25, ociArchive, tarOf } from '../transports/archive/archives.ts';
import { nearlyBytes } from './nearly.ts';
import { assertRefusal, type FuzzTarget, target } from './target.ts';

const image = buildImage({ layers: [tarGzLayer({ a: 'a' })] });
const ARCHIVES = [ociArchive(image, 'v1'), dockerSave(image, ['app:v1']), dockerSave25(image, 'app:v1').members].map(
  tarOf,
);

/** Archives of images, as they come by in a stream. */
export const ARCHIVE_TARGETS: readonly FuzzTarget[] = [
  target(
    'archive',
    fc.tuple(
      nearlyBytes(ARCHIVES, ['\0', '../', 'index.json', 'manifest.json', 'blobs/sha256/', 'ustar', '0000777']),
      fc.constantFrom('oci' as const, 'docker' as const),
      fc.integer({ min: 1, max: 2000 }),
    ),
    async ([bytes, form, packet]) => {
      const packets = Array.from({ length: Math.ceil(bytes.length / packet) }, (_, at) =>
        bytes.subarray(at * packet, (at + 1) * packet),
      );
      await using archive = new ArchiveStream(Readable.from(packets, { objectMode: false }), 'archive');
      try {
        const found = await openImage(form, archive, {}, { onWarning: () => undefined });
        const source = new ArchiveSource(archive, found, 'archive');
        const { config } = JSON.parse((await source.getManifest()).bytes.toString()) as { readonly config?: object };
        if (isDescriptor(config))
          for await (const piece of (await source.getBlob(config)).stream) createHash('sha256').update(piece as Buffer);
        await source.finish();
      } catch (error) {
        assertRefusal(error);
      }
    },
  ),
];

function isDescriptor(
  value: object | undefined,
): value is { readonly digest: `sha256:${string}`; readonly size: number } {
  return value !== undefined && 'digest' in value && 'size' in value;
}
