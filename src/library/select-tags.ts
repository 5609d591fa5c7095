import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';
import { globPattern } from '../io/glob.ts';

/** Which tags of a repository are meant. A tag has to match one of `tags` and one of `semver`, where these are given, and none of `exclude`. */
export interface TagSelection {
  /** Patterns of whole tags, with `*` and `?`. Default: all tags. */
  readonly tags?: readonly string[] | undefined;
  /** The same, for tags that are left out. Default: none. */
  readonly exclude?: readonly string[] | undefined;
  /**
   * Ranges of versions, as npm writes them: `^1.4`, `>=2 <4`, `1.x`. `v1.2` is version 1.2.0; a tag that is not a version matches none. Pre-releases
   * (`1.2.0-rc.1`) match only where the range names one. Default: all tags.
   */
  readonly semver?: readonly string[] | undefined;
}

/** Tags that are made of a digest: signatures of cosign, and lists of what refers to an image. They come along with that. */
const DIGEST_TAG = /^sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:$|\.)/;

/**
 * Makes a test of tags.
 * @throws ImgcopyError of kind `usage` for a range that is not one.
 */
export async function tagFilter({ tags, exclude = [], semver }: TagSelection): Promise<(tag: string) => boolean> {
  const wanted = tags?.map(tagPattern);
  const unwanted = exclude.map(tagPattern);
  const isInRange = semver === undefined ? undefined : await rangeFilter(semver);
  return (tag) =>
    !DIGEST_TAG.test(tag) &&
    (wanted?.some((pattern) => pattern.test(tag)) ?? true) &&
    !unwanted.some((pattern) => pattern.test(tag)) &&
    (isInRange?.(tag) ?? true);
}

function tagPattern(glob: string): RegExp {
  return globPattern(glob, { isCaseSensitive: true });
}

async function rangeFilter(texts: readonly string[]): Promise<(tag: string) => boolean> {
  const { default: semver } = await import('semver');
  const ranges = texts.map((text) => {
    const range = text.trim() === '' ? null : semver.validRange(text);
    if (range !== null) return range;
    throw new ImgcopyError(`invalid version range ${quote(text)}`, {
      code: 'ERR_INVALID_RANGE',
      kind: 'usage',
      hint: 'write a range such as ^1.4, >=2 <4 or 1.x',
    });
  });
  return (tag) => {
    const version = asVersion(tag);
    return version !== undefined && ranges.some((range) => semver.satisfies(version, range));
  };
}

/** `1.4` is 1.4.0, and `v2-alpine` is 2.0.0-alpine, as tags of images are written. */
function asVersion(tag: string): string | undefined {
  const [, major, minor = '0', patch = '0', rest = ''] =
    /^v?(\d{1,10})(?:\.(\d{1,10}))?(?:\.(\d{1,10}))?(-[0-9A-Za-z.-]+)?$/.exec(tag) ?? [];
  return major === undefined ? undefined : `${major}.${minor}.${patch}${rest}`;
}
