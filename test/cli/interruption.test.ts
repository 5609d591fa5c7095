import assert from 'node:assert/strict';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 1, size: 6_000_000 } });

let home: CliHome;

before(async () => {
  home = await createCliHome();
});

after(async () => {
  await home[Symbol.asyncDispose]();
});

/** A source whose layer stops halfway. */
async function startStallingSource(): Promise<TestRegistry> {
  const source = await startRegistry();
  source.seed('app', '1', image);
  source.behave({ match: { method: 'GET', path: /\/blobs\// }, stallAfterBytes: 3_000_000 });
  return source;
}

/** Both blobs are on their way. */
async function untilBlobsAnswered(source: TestRegistry): Promise<void> {
  await source.until(() => source.select({ path: /\/blobs\// }).filter(({ status }) => status === 200).length === 2);
}

describe('an interruption', { concurrency: true }, () => {
  for (const [signal, status, word] of [
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'terminated'],
  ] as const) {
    test(`${signal} ends a copy with status ${status}, and leaves no image behind (behaviour 37)`, async () => {
      await using source = await startStallingSource();
      const path = join(home.path, signal);
      const { child, result } = home.start([`${source.host}/app:1`, `dir:${path}`]);
      await source.until(() => source.select({ path: /\/blobs\// }).some(({ bytesSent }) => bytesSent >= 3_000_000));

      child.kill(signal);

      const { stdout, stderr, status: found } = await result;
      assert.deepEqual([found, stdout], [status, '']);
      assert.match(stderr, new RegExp(`^imgcopy: ${word}; run the same command again to resume\n$`, 'm'));
      assert.ok(!(await readdir(path)).includes('manifest.json'));
    });
  }

  test('an early one into a new layout removes what the copy made, and nothing else', async () => {
    await using source = await startRegistry();
    source.seed('app', '1', image);
    source.behave({ match: { method: 'GET', path: /\/blobs\// }, stallAfterBytes: 100 });
    const top = join(home.path, 'early');
    const layouts: Readonly<Record<string, readonly string[]>> = {
      new: [],
      'new/and/deep': [],
      empty: ['empty'],
    };
    for (const [name, folders] of Object.entries(layouts)) {
      await mkdir(top);
      for (const folder of folders) await mkdir(join(top, folder));
      await source.disconnected();
      source.reset();
      const { child, result } = home.start([`${source.host}/app:1`, `oci:${join(top, name)}:1`]);
      await untilBlobsAnswered(source);

      child.kill('SIGINT');

      assert.equal((await result).status, 130);
      assert.deepEqual((await readdir(top, { recursive: true })).toSorted(), folders, name);
      await rm(top, { recursive: true });
    }
  });

  test('one into a layout that another copy writes to leaves that one alone', async () => {
    await using stalling = await startRegistry();
    await using source = await startRegistry();
    const go = Promise.withResolvers<void>();
    for (const registry of [stalling, source]) registry.seed('app', '1', image);
    stalling.behave({ match: { method: 'GET', path: /\/blobs\// }, stallAfterBytes: 100 });
    source.behave({ match: { method: 'GET', path: /\/blobs\// }, stallAfterBytes: 0, until: go.promise });
    const path = join(home.path, 'shared');
    const first = home.start([`${stalling.host}/app:1`, `oci:${path}:first`]);
    await untilBlobsAnswered(stalling);
    const second = home.start([`${source.host}/app:1`, `oci:${path}:second`]);
    await source.until(() => source.count({ path: /\/blobs\// }) > 0);

    first.child.kill('SIGINT');
    assert.equal((await first.result).status, 130);
    go.resolve();

    const { status, stderr } = await second.result;
    assert.equal(status, 0, stderr);
    assert.deepEqual((await readdir(path)).toSorted(), ['blobs', 'index.json', 'oci-layout']);
  });

  test('a second SIGINT ends the process at once, whatever it waits for', async () => {
    await using source = await startStallingSource();
    await using destination = await startRegistry({ leavesSessions: true });
    destination.behave({ match: { method: 'DELETE' }, stall: true });
    const { child, result } = home.start([`${source.host}/app:1`, `${destination.host}/app:1`]);
    await destination.until(() => destination.count({ method: 'PATCH' }) > 0);

    child.kill('SIGINT');
    await destination.until(() => destination.count({ method: 'DELETE' }) > 0);
    child.kill('SIGINT');

    assert.equal((await result).status, 130);
  });

  test('a question that nobody answers can be left', async () => {
    await using source = await startRegistry();
    source.behave({ match: { path: /tags/ }, stall: true });
    const { child, result } = home.start(['tags', `${source.host}/app`]);
    await source.until(() => source.count({ path: /tags/ }) > 0);

    child.kill('SIGTERM');

    const { status, stdout, stderr } = await result;
    assert.deepEqual({ status, stdout, stderr }, { status: 143, stdout: '', stderr: 'imgcopy: terminated\n' });
  });

  test('a copy that takes longer than --command-timeout fails', async () => {
    await using source = await startStallingSource();
    const { status, stderr } = await home.run([
      '--command-timeout=1s',
      `${source.host}/app:1`,
      `dir:${join(home.path, 'late')}`,
    ]);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^imgcopy: copying .*\n {2}timed out after 1 s\n {2}hint: raise --command-timeout.*\[ERR_COMMAND_TIMEOUT\]\n$/m,
    );
  });
});
