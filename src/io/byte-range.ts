/** Bytes of a blob: `start` is the first of them, `end` the first that is none of them. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}
