import type { LeftOutBlobs, WaitOptions } from '../../contract/blob-info.ts';
import type { Archive } from './archive.ts';
import type { ArchiveImage, WantedImage } from './archive-image.ts';

/** What an archive is written as, and read as. `stream`: what goes through a pipe, an OCI layout with docker's list beside it, or whatever else comes. */
export type ArchiveForm = 'oci' | 'docker' | 'stream';

/** An archive that is to be written, with one image. */
export interface ArchiveToWrite {
  readonly form: ArchiveForm;
  /** Of an OCI archive, the reference in it; of docker's, the full name. Undefined for an image without a name. */
  readonly name: string | undefined;
  /** Relative to the working directory, or absolute. Undefined for standard output. */
  readonly path: string | undefined;
  /** As the user named the image. */
  readonly reference: string;
  /** What whoever reads the archive has already. Undefined where that is not known: then nothing is left out. */
  readonly known?: LeftOutBlobs | undefined;
}

export interface OpenImageOptions extends WaitOptions {
  readonly onWarning: (message: string) => void;
}

/** Finds an image in an archive of this form. See openLayoutImage, openDockerImage. */
export async function openImage(
  form: ArchiveForm,
  archive: Archive,
  wanted: WantedImage,
  options: OpenImageOptions,
): Promise<ArchiveImage> {
  if (form === 'oci') {
    const { openLayoutImage } = await import('./layout-image.ts');
    return await openLayoutImage(archive, wanted, options);
  }
  const { openDockerImage } = await import('./docker-image.ts');
  return await openDockerImage(archive, wanted, options);
}

/** The names of the images in an archive of this form, each once: what may be written behind its FILE. */
export async function listNames(form: ArchiveForm, archive: Archive, options: WaitOptions): Promise<readonly string[]> {
  if (form === 'oci') {
    const [{ readLayoutIndex }, { imageNames }] = await Promise.all([
      import('./layout-image.ts'),
      import('../../manifest/image-layout.ts'),
    ]);
    return imageNames(await readLayoutIndex(archive, options));
  }
  const { listDockerNames } = await import('./docker-image.ts');
  return await listDockerNames(archive, options);
}
