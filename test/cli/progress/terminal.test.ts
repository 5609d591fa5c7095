import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { buildImage, buildIndex, randomBytes } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { openTerminal } from '../../support/terminal.ts';
import { writeImage } from '../../transports/dir/image-directory.ts';

const layers = [2, 6, 9].map((megabytes) => randomBytes(`layer of ${megabytes}`, megabytes * 1_000_000));
const image = buildImage({ layers });
const [, middle, large] = [...image.blobs.keys()].filter((digest) => (image.blobs.get(digest)?.length ?? 0) > 1e6);
const nameOf = (digest = ''): string => digest.replace('sha256:', '').slice(0, 12);

/** A source that sends the smallest layer, a half of the next and a third of the largest. */
async function startStallingSource(): Promise<TestRegistry> {
  const source = await startRegistry();
  source.seed('app', '1', image);
  const path = new RegExp(`/blobs/(${middle}|${large})$`);
  source.behave({ match: { method: 'GET', path }, stallAfterBytes: 3_000_000 });
  return source;
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-screen-'));
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 10 }));
  return path;
}

/** Without the spinner, which is different at each look, and the empty lines that tmux puts above what it wraps. */
function still(lines: readonly string[]): readonly string[] {
  const first = lines.findIndex((line) => line !== '');
  return lines.slice(Math.max(0, first)).map((line) => line.replace(/^[⠀-⣿] /, '* '));
}

const bar = (full: number, width: number): string => `${'━'.repeat(full)}${'╌'.repeat(width - full)}`;

describe('the screen', { concurrency: 2 }, () => {
  test('each width has the columns that fit, also after the window was resized', async (t) => {
    await using source = await startStallingSource();
    const to = join(await folder(t), 'out');
    const size = { columns: 120, rows: 12 };
    const terminal = await openTerminal(t, [`${source.host}/app:1`, `dir:${to}`], size);
    if (terminal === undefined) return;
    const [half, third] = [`layer  ${nameOf(middle)}`, `layer  ${nameOf(large)}`];
    const wide = [
      '* 2 of 4 blobs  8.0 MB of 17.0 MB  0 B/s',
      `  ${half}  ${bar(15, 30)}    3.0 MB of   6.0 MB      0 B/s`,
      `  ${third}  ${bar(10, 30)}    3.0 MB of   9.0 MB      0 B/s`,
    ];
    const expected: readonly (readonly [columns: number, lines: readonly string[]])[] = [
      [200, wide],
      [
        80,
        [
          wide[0] ?? '',
          `  ${half}  ${bar(10, 21)}    3.0 MB of   6.0 MB      0 B/s`,
          `  ${third}  ${bar(7, 21)}    3.0 MB of   9.0 MB      0 B/s`,
        ],
      ],
      [40, ['* 2 of 4 blobs  8.0 MB of 17.0 MB', `  ${half}  50 %`, `  ${third}  33 %`]],
      [120, wide],
    ];
    for (const [columns, lines] of expected) {
      await terminal.resize(columns);
      const shown = await terminal.until((now) => isSame(lastOf(still(now), lines.length), lines));
      assert.deepEqual(lastOf(still(shown), lines.length), lines);
    }
  });

  for (const [columns, told] of [
    [40, ['imgcopy: interrupted; run the same', '  command again to resume']],
    [80, ['imgcopy: interrupted; run the same command again to resume']],
  ] as const) {
    test(`^C in ${columns} columns leaves what was told, and no piece of the display`, async (t) => {
      await using source = await startStallingSource();
      const to = join(await folder(t), 'out');
      const terminal = await openTerminal(t, [`${source.host}/app:1`, `dir:${to}`], { columns, rows: 12 });
      if (terminal === undefined) return;
      await terminal.until((lines) => lines.some((line) => line.includes(nameOf(large))));
      await terminal.press('C-c');
      assert.equal(await terminal.status(), 130);
      assert.deepEqual(await terminal.screen(), told);
    });
  }

  test('at its end, a copy is one line and the result, and an error is wrapped between words', async (t) => {
    await using registry = await startRegistry();
    registry.seed('app', '1', image);
    const to = `${registry.host}/copy:1`;
    const copy = await openTerminal(t, [`${registry.host}/app:1`, to], { columns: 120, rows: 12 });
    if (copy === undefined) return;
    assert.equal(await copy.status(), 0);
    const [summary, result] = await copy.screen();
    assert.match(
      summary ?? '',
      /^✓ docker:\/\/.*\/copy:1: 4 blobs: 4 mounted; downloaded 0 B of 17\.0 MB in \d\.\d s$/,
    );
    assert.equal(result, `docker://${registry.host}/copy@${image.manifest.digest}`);

    const failed = await openTerminal(t, ['digest', `${registry.host}/app:none`], { columns: 60, rows: 12 });
    assert.equal(await failed?.status(), 3);
    const lines = (await failed?.screen()) ?? [];
    assert.match(lines[0] ?? '', /^imgcopy: reading docker:/);
    assert.match(lines.at(-1) ?? '', /^ {4}.*\[ERR_NOT_FOUND\]$/);
    for (const line of lines.slice(1)) assert.match(line, /^ {2,4}\S/);
  });

  for (const columns of [40, 80, 120, 200]) {
    test(`inspect keeps digests whole in ${columns} columns`, async (t) => {
      const path = join(await folder(t), 'image');
      const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
      const index = buildIndex({ images: [{ image: buildImage({ layers, platform }), platform }] });
      await writeImage(path, index);
      const terminal = await openTerminal(t, ['inspect', `dir:${path}`], { columns, rows: 30 });
      if (terminal === undefined) return;
      assert.equal(await terminal.status(), 0);
      const lines = await terminal.screen();
      const isWhole = (line: string): boolean =>
        columns === 40 ? / [0-9a-f]{12}$/.test(line) : /sha256:(?:[0-9a-f]{64}|[0-9a-f]{12}…)(?: |$)/.test(line);
      assert.deepEqual(
        lines.slice(-6).filter((line) => !isWhole(line)),
        [],
      );
    });
  }
});

/** The lines that are drawn now. A terminal that narrows while they are redrawn may keep some of before above them. */
function lastOf(lines: readonly string[], count: number): readonly string[] {
  return lines.slice(-count);
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((line, index) => line === other[index]);
}
