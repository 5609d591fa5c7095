import { createHash } from 'node:crypto';
import { type Digest, isDigest } from '../../digest/digest.ts';

/** Sees the bytes of a member while they come. */
export interface MemberWatch {
  saw(bytes: Uint8Array): void;
  /** All of it has come. */
  ended(): void;
}

/**
 * Finds out whether a member is a layer, and its digest, as soon as that can be known: by its name and its first byte, or once all of it has come.
 * @param tell  called once, or never. A name may lie: whoever reads the member checks its bytes.
 * @returns undefined for a member that cannot be one.
 */
export function watchLayer(name: string, tell: (digest: Digest) => void): MemberWatch | undefined {
  const digest = digestInName(name);
  if (digest === undefined && !OLD_LAYER.test(name)) return undefined;
  const hash = digest === undefined ? createHash('sha256') : undefined;
  let isFirst = true;
  let isLayer = false;
  return {
    saw(bytes) {
      if (bytes.length === 0) return;
      if (isFirst) {
        isFirst = false;
        // Manifests and configs are JSON objects. They wait for what names them.
        isLayer = bytes[0] !== OPENING_BRACE;
        if (isLayer && digest !== undefined) tell(digest);
      }
      if (isLayer) hash?.update(bytes);
    },
    ended() {
      if (isLayer && hash !== undefined) tell(`sha256:${hash.digest('hex')}`);
    },
  };
}

const OPENING_BRACE = 0x7b;

/** Of Docker before 25, whose names are not digests. */
const OLD_LAYER = /\/layer\.tar$/;

/** As OCI layouts name blobs; as skopeo and podman name uncompressed layers, and crane compressed ones. */
function digestInName(name: string): Digest | undefined {
  const [, algorithm = 'sha256', inLayout, inSaved] =
    /^(?:blobs\/(sha256|sha512)\/([0-9a-f]+)|([0-9a-f]+)\.tar(?:\.gz)?)$/.exec(name) ?? [];
  const digest = `${algorithm}:${inLayout ?? inSaved ?? ''}`;
  return isDigest(digest) ? digest : undefined;
}
