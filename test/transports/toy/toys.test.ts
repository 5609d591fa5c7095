import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { completionScript } from '../../../src/cli/completion/completion-script.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { createCopier, type Copier, type CopyResult } from '../../../src/index.ts';
import { parseImageName } from '../../../src/transports/table.ts';
import { at, openHome } from '../../library/test-copier.ts';
import { buildImage, buildIndex } from '../../support/images.ts';
import { startRegistry, type TestRegistry } from '../../support/registry.ts';
import { blobsInOrder, writeLine } from './line/line-source.ts';
import { withToys } from './table.ts';

const image = buildImage({ layers: { count: 4, size: 3000 }, platform: { os: 'linux', architecture: 'amd64' } });
const other = buildImage({ layers: { count: 1, size: 200 }, platform: { os: 'linux', architecture: 'arm64' } });
const index = buildIndex({ images: [{ image }, { image: other }] });
const PLAIN = { plainHttp: true };

interface Stage extends AsyncDisposable {
  readonly path: string;
  readonly registry: TestRegistry;
  readonly copier: Copier;
  copy(source: string, destination: string): Promise<CopyResult>;
  /** The program, with the toys in its table. @returns what it prints. */
  run(...args: readonly string[]): Promise<string>;
}

async function openStage(t: TestContext): Promise<Stage> {
  const { path, env } = await openHome(t);
  const registry = await startRegistry();
  const copier = createCopier({ env, retryDelayMs: 1, transports: withToys });
  const program = fileURLToPath(new URL('./toy-process.ts', import.meta.url));
  return {
    path,
    registry,
    copier,
    copy: (source, destination) => copier.copy(source, destination, { source: PLAIN, destination: PLAIN }),
    run: async (...args) => (await promisify(execFile)(process.execPath, [program, ...args], { env })).stdout.trimEnd(),
    async [Symbol.asyncDispose](): Promise<void> {
      await copier[Symbol.asyncDispose]();
      await registry.close();
    },
  };
}

test('an index goes into a box and comes out of it, and another copy moves nothing', async (t) => {
  await using stage = await openStage(t);
  const { registry, path } = stage;
  registry.seed('app', 'v1', index);
  const box = `box:${join(path, 'box')}`;
  const result = await stage.copy(at(registry, 'app:v1'), box);
  assert.deepEqual([result.destination, result.reference], [`${box}:v1`, `${box}@${index.manifest.digest}`]);
  await stage.copy(`${box}:v1`, at(registry, 'copy'));
  assert.deepEqual(registry.manifest('copy', 'v1'), index.manifest);
  await stage.copy(result.reference, at(registry, 'pinned:v1'));
  assert.deepEqual(registry.manifest('pinned', 'v1'), index.manifest);
  assert.equal((await stage.copy(at(registry, 'app:v1'), box)).skipped, 'same');
});

test('a box takes the tag of the source, or else the default one, and lists what it has', async (t) => {
  await using stage = await openStage(t);
  const { registry, copier, path } = stage;
  registry.seed('app', 'v1', image);
  registry.seed('app', 'latest', other);
  const box = `box:${join(path, 'box')}`;
  await stage.copy(at(registry, 'app'), box);
  await copier.copy(at(registry, 'app:v1'), box, { source: PLAIN, additionalTags: ['stable'] });
  await writeLine(join(path, 'line'), image);
  await stage.copy(`line:${join(path, 'line')}`, `box:${join(path, 'other')}`);
  const tags = async (repository: string): Promise<string[]> => {
    const found: string[] = [];
    for await (const tag of copier.tags(repository)) found.push(tag);
    return found;
  };
  assert.deepEqual((await tags(box)).toSorted(), ['latest', 'stable', 'v1']);
  assert.deepEqual(await tags(`box:${join(path, 'other')}`), ['latest']);
  assert.equal(await copier.digest(`${box}:stable`), image.manifest.digest);
  await assert.rejects(tags(`line:${join(path, 'line')}`), {
    kind: 'usage',
    message: `line:${join(path, 'line')} has no tags`,
    hint: 'give a repository: docker://HOST[:PORT]/NAME or oci:PATH or oci-archive:FILE or docker-archive:FILE or box:PATH',
  });
});

test('two names of one place in a box are one place, and two tags are two', async (t) => {
  await using stage = await openStage(t);
  const { path } = stage;
  const name = (text: string): Promise<string> => parseImageName(text, withToys).withDefaultTag().place();
  assert.equal(await name(`box:${path}`), await name(`box:${path}/../${path.split('/').at(-1)}:latest`));
  await assert.rejects(stage.copy(`box:${path}:v1`, `box:${path}/.`), { code: 'ERR_SAME_PLACE' });
  await assert.rejects(stage.copy(`box:${path}:v1`, `box:${path}:v2`), { code: 'ERR_NOT_FOUND' });
});

test('nothing is left of a box for an image that does not exist', async (t) => {
  await using stage = await openStage(t);
  const { registry, path } = stage;
  for (const source of [at(registry, 'none:v1'), `line:${join(path, 'none')}`, `dir:${join(path, 'none')}`]) {
    await assert.rejects(stage.copy(source, `box:${join(path, 'deep/box')}`), { kind: 'not-found', side: 'source' });
  }
  assert.deepEqual(
    (await readdir(path)).filter((entry) => entry !== 'cache' && entry !== 'state'),
    [],
  );
});

test('a line is read in order, one blob at a time, into a registry and a box', async (t) => {
  await using stage = await openStage(t);
  const { registry, path } = stage;
  const line = `line:${join(path, 'line')}`;
  await writeLine(join(path, 'line'), image);
  await stage.copy(line, at(registry, 'app:v1'));
  assert.deepEqual(registry.manifest('app', 'v1'), image.manifest);
  const stored = registry.requests.flatMap(({ method, path: url }) =>
    method === 'PUT' ? (/digest=([^&]+)/.exec(url)?.[1] ?? []) : [],
  );
  assert.deepEqual(
    stored.map(decodeURIComponent),
    blobsInOrder(image.manifest).map(({ digest }) => digest),
  );
  await stage.copy(line, `box:${join(path, 'box')}`);
  assert.equal(await stage.copier.digest(`box:${join(path, 'box')}`), image.manifest.digest);
});

test('a line cannot be written', async (t) => {
  await using stage = await openStage(t);
  stage.registry.seed('app', 'v1', image);
  await assert.rejects(stage.copy(at(stage.registry, 'app:v1'), 'line:x'), {
    kind: 'usage',
    message: 'line:x cannot be written: line: does not support it',
  });
});

test('help and completion know the toys', () => {
  const program = createProgram(new AbortController().signal, { transports: withToys });
  const helpOf = (name: string): string =>
    (program.commands.find((command) => command.name() === name)?.helpInformation() ?? '').replaceAll(/\s+/g, ' ');
  assert.match(helpOf('copy'), /dir:PATH\[@DIGEST\], .*box:PATH\[:TAG\]\[@DIGEST\], line:FILE, or NAME/);
  assert.match(helpOf('inspect'), /box:PATH\[:TAG\]\[@DIGEST\], line:FILE, or NAME/);
  assert.match(helpOf('tags'), /docker:\/\/HOST\[:PORT\]\/NAME, .*box:PATH, or NAME/);
  const scripts = (['bash', 'zsh', 'fish'] as const).map((shell) => completionScript(shell, program, withToys));
  const [bash = '', zsh = '', fish = ''] = scripts;
  assert.match(bash, /arguments='docker:\/\/ dir: .*box: line:'[^]*dir:\*\|.*box:\*\|line:\*\)/);
  assert.match(zsh, /compset -P box: \|\| compset -P line:/);
  assert.match(fish, /case 'line:\*'/);
});

test('the commands know the toys', async (t) => {
  await using stage = await openStage(t);
  const { path } = stage;
  await writeLine(join(path, 'line'), image);
  const box = `box:${join(path, 'box')}`;
  assert.equal(await stage.run('-q', `line:${join(path, 'line')}`, `${box}:v3`), `${box}@${image.manifest.digest}`);
  assert.equal(await stage.run('tags', box), 'v3');
  assert.equal(await stage.run('digest', `${box}:v3`), image.manifest.digest);
  assert.match(await stage.run('inspect', `${box}:v3`), /4 layers/);
});
