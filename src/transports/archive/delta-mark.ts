import type { LeftOutBlobs, RawManifest } from '../../contract/blob-info.ts';
import { type Digest, isDigest } from '../../digest/digest.ts';
import { quote } from '../../errors/printable.ts';
import { optionalStrings, parseJsonObject } from '../../manifest/json-fields.ts';
import { InvalidManifestError, type Manifest } from '../../manifest/manifest.ts';
import { isManifestType } from '../../manifest/media-types.ts';
import { parseManifest } from '../../manifest/parse-manifest.ts';
import { type Archive, MAX_SMALL_BYTES, readSmall } from './archive.ts';
import { InvalidArchiveError } from './archive-error.ts';

/** The member that says which blobs a delta archive leaves out. Other tools ignore it. */
export const DELTA_FILE = 'imgcopy-delta.json';

const VERSION = 1;

/**
 * What an archive of these manifests leaves out: layers alone. Configs are small, and those who read an archive need them.
 * @param known  what whoever imports the archive has.
 * @returns undefined where it leaves out nothing.
 */
export function leftOutOf(
  manifests: readonly RawManifest[],
  known: LeftOutBlobs | undefined,
): LeftOutBlobs | undefined {
  if (known === undefined) return undefined;
  const parsed = manifests.map(({ bytes, mediaType }) => parseManifest(bytes, mediaType));
  const configs = new Set(parsed.map((manifest) => (manifest.kind === 'image' ? manifest.config?.digest : undefined)));
  const digests = parsed.flatMap(layersIn).filter((digest) => known.digests.has(digest) && !configs.has(digest));
  return digests.length === 0 ? undefined : { digests: new Set(digests), since: known.since };
}

function layersIn(manifest: Manifest): readonly Digest[] {
  if (manifest.kind !== 'index') return manifest.layers.map(({ digest }) => digest);
  return manifest.manifests.flatMap(({ digest, mediaType }) => (isManifestType(mediaType) ? [] : digest));
}

/** The content of the member. */
export function formatDeltaMark({ digests, since }: LeftOutBlobs): Buffer {
  return Buffer.from(JSON.stringify({ version: VERSION, since, missing: [...digests] }));
}

/**
 * Reads what an archive leaves out. Of a stream, the member has to have come by now.
 * @returns undefined where it is no delta.
 * @throws InvalidArchiveError
 */
export async function readDeltaMark(archive: Archive): Promise<LeftOutBlobs | undefined> {
  if (!archive.has(DELTA_FILE)) return undefined;
  const where = `${DELTA_FILE} in ${archive.reference}`;
  const bytes = await readSmall(archive, DELTA_FILE, {
    tooLarge: (size) => new InvalidArchiveError(`${where} has ${size} bytes, more than ${MAX_SMALL_BYTES}`),
  });
  try {
    const mark = parseJsonObject(bytes ?? Buffer.alloc(0));
    const { version } = mark.fields;
    if (version !== VERSION) throw newerVersion(where, version);
    const digests = (optionalStrings(mark, 'missing') ?? []).map(checkDigest);
    return { digests: new Set(digests), since: optionalStrings(mark, 'since') ?? [] };
  } catch (error) {
    if (!(error instanceof InvalidManifestError)) throw error;
    throw new InvalidArchiveError(`${where} is invalid`, { cause: error });
  }
}

function checkDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new InvalidManifestError(`missing should be a list of digests, found ${quote(text)}`);
}

function newerVersion(where: string, version: unknown): InvalidArchiveError {
  return new InvalidArchiveError(`${where} has version ${quote(String(version), 20)}, expected ${VERSION}`, {
    hint: 'use a newer imgcopy, or write the archive again without --since',
  });
}
