const BLOCK_BYTES = 512;
const TYPE_FLAGS = { reg: '0', dir: '5', symlink: '2' };

/** A file of a layer. */
export interface LayerFile {
  /** At most 100 bytes. */
  readonly name: string;
  /** Default: `reg`. */
  readonly type?: 'reg' | 'dir' | 'symlink' | undefined;
  readonly content?: string | Buffer | undefined;
  readonly linkName?: string | undefined;
  /** In seconds since 1970; default 0. */
  readonly mtime?: number | undefined;
  readonly userName?: string | undefined;
}

/** What ends a tar archive. */
export const endOfTar: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

/** The ustar header of a file. @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html (ustar interchange format) */
export function tarHeader(file: LayerFile): Buffer {
  const { name, type = 'reg', content = '', linkName = '', mtime = 0, userName = '' } = file;
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(name, 0, 100);
  header.write(octal(0o644, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(Buffer.byteLength(content), 11), 124);
  header.write(octal(mtime, 11), 136);
  header.write(' '.repeat(8), 148);
  header.write(TYPE_FLAGS[type], 156);
  header.write(linkName, 157, 100);
  header.write('ustar\x0000', 257);
  header.write(userName, 265, 32);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(octal(checksum, 6), 148);
  return header;
}

/** The zeros that fill the last block of a file's content. */
export function paddingOf({ content = '' }: LayerFile): Buffer {
  const size = Buffer.byteLength(content);
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`;
}
