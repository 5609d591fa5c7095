import { join } from 'node:path';
import type { CopyResult } from '../../src/index.ts';
import { loadFixture } from '../support/integration-images.ts';
import { isWhole } from '../transports/dir/image-directory.ts';
import { act, count, heading, say, shares } from './printing.ts';
import { check, countedBy, perform, showCounts, type Stage } from './stage.ts';

const LINE = 100;

/** An image in zstd:chunked goes to a directory, and its next version after it. @returns the number of copies. */
export async function actTwo(stage: Stage): Promise<number> {
  const { source, folder } = stage;
  const [v1, v2] = [await loadFixture('zstdchunked', 'v1'), await loadFixture('zstdchunked', 'v2')];
  source.seed('shop/api', '1', v1);
  source.seed('shop/api', '2', v2);
  const image = `docker://${source.host}/shop/api`;

  act('Act two', 'the next version of an image');
  say('');
  say('The layers of shop/api are in zstd:chunked: each has a table of contents. Its version 2 edits');
  say('33 of 300 files, adds 12 and removes 9.');

  heading('Version 1 into a directory');
  await perform(stage, [`${image}:1`, 'dir:api']);
  showCounts(stage);
  check(await isWhole(join(folder, 'api'), v1), 'The directory has version 1, byte for byte.');

  heading('Version 2 over it');
  const stdout = await perform(stage, ['--json', `${image}:2`, 'dir:api'], LINE);
  showCounts(stage);
  const { bytes, blobs } = JSON.parse(stdout) as CopyResult;
  const framing = countedBy(source).blobBytes - bytes.fetched;
  say(`Of the ${count(bytes.total)} bytes that the blobs of version 2 have, by the JSON above:`);
  shares(bytes.total, [
    ['fetched from the source', bytes.fetched],
    ['found in the directory', bytes.reused],
  ]);
  check(
    blobs.partial === 1 && bytes.fetched < bytes.reused,
    `The changed layer was built from pieces: ${rangesAsked(stage)}.`,
  );
  check(framing >= 0, `The other ${count(framing)} bytes that the source counted frame the ranges in its answers.`);
  check(await isWhole(join(folder, 'api'), v2), 'The directory has version 2, byte for byte.');
  return 2;
}

/** How the source was asked for pieces. */
function rangesAsked({ source }: Stage): string {
  const ranges = source
    .select({ path: /\/blobs\// })
    .flatMap(({ range }) => (range === undefined ? [] : [range.split(',').length]));
  const pieces = ranges.reduce((sum, asked) => sum + asked, 0);
  return `${pieces} ranges of it came in answer to ${ranges.length} requests`;
}
