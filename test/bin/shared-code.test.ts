import assert from 'node:assert/strict';
import { chmod, cp, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { builtProgram, createCliHome, type ImgcopyOptions, type ImgcopyResult } from '../support/imgcopy-command.ts';
import { buildImage } from '../support/images.ts';
import { tellVerdicts } from '../support/compiled-code-verdicts.ts';
import { startRegistry } from '../support/registry.ts';

const options = { timeout: 60_000 };
const image = buildImage({ layers: { count: 1, size: 1_000 } });
const isRoot = process.geteuid?.() === 0;
const stranger = 12_345;

/** imgcopy in a folder of its own. */
class Installed {
  readonly folder: string;
  readonly #t: TestContext;

  constructor(t: TestContext, folder: string) {
    this.#t = t;
    this.folder = folder;
  }

  get compiled(): string {
    return join(this.folder, 'compiled');
  }

  /** `imgcopy cache compile`, which is to succeed. */
  async compile(): Promise<void> {
    const { status, stderr } = await this.run(['cache', 'compile']);
    assert.equal(status, 0, stderr);
  }

  /** Runs a command in a home directory that is empty, but for what `home` has. */
  async run(
    args: readonly string[],
    { home, env, ...run }: Partial<ImgcopyOptions> & { readonly home?: string } = {},
  ): Promise<ImgcopyResult> {
    await using fresh = await createCliHome();
    const cache = home ?? join(fresh.path, 'cache');
    return await fresh.run(args, {
      file: join(this.folder, 'bin/imgcopy.js'),
      env: { NODE_COMPILE_CACHE: cache, ...env },
      ...run,
    });
  }

  /** Copies an image to a name that has it (`same`), or to a new one, and returns V8's verdicts. */
  async copy(to: 'same' | 'new', how: Parameters<Installed['run']>[1] = {}): Promise<string> {
    const registry = await startRegistry();
    this.#t.after(() => registry.close());
    for (const name of ['from', 'same']) registry.seed(name, '1', image);
    const args = ['-q', '--plain-http', `${registry.host}/from:1`, `${registry.host}/${to}:1`];
    const { preload = '' } = how;
    const { status, stderr } = await this.run(args, { ...how, preload: preload + tellVerdicts });
    assert.deepEqual([status, registry.tags(to)], [0, ['1']], stderr);
    return stderr;
  }
}

/** Its node_modules are not needed: the bundle has all. */
async function install(t: TestContext): Promise<Installed> {
  const original = dirname(dirname(await realpath(builtProgram)));
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-installed-'));
  t.after(() => rm(folder, { recursive: true }));
  await chmod(folder, 0o755);
  for (const part of ['bin', 'dist', 'package.json'])
    await cp(join(original, part), join(folder, part), { recursive: true });
  return new Installed(t, folder);
}

test('after cache compile, first runs take compiled code', options, async (t) => {
  const installed = await install(t);
  assert.equal(await installed.copy('new'), 'imgcopy.cjs: undefined;blobs.cjs: undefined;');
  await installed.compile();
  assert.equal(await installed.copy('new'), 'imgcopy.cjs: false;blobs.cjs: false;');
  assert.equal(await installed.copy('same'), 'imgcopy.cjs: false;');
});

test('runs that take it keep nothing in the home directory', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  await using home = await createCliHome();
  await installed.copy('same', { home: home.path });
  await installed.copy('new', { home: home.path });
  // Node.js has folders of its own there.
  const entries = await readdir(home.path, { withFileTypes: true });
  assert.deepEqual(
    entries.filter((entry) => entry.isFile()),
    [],
  );
});

test('cache compile writes to the folder of the program and nowhere else', options, async (t) => {
  const installed = await install(t);
  await using home = await createCliHome();
  const env = { NODE_DISABLE_COMPILE_CACHE: '1', TMPDIR: home.path, XDG_CACHE_HOME: home.path };
  const { status, stderr } = await home.run(['cache', 'compile'], {
    file: join(installed.folder, 'bin/imgcopy.js'),
    env,
  });
  assert.deepEqual([status, await readdir(home.path)], [0, []]);
  assert.ok(stderr.startsWith(`kept compiled code in ${installed.compiled} (`), stderr);
  const names = await readdir(installed.compiled);
  assert.deepEqual(
    names.map((name) => name.replace(/-.*/, '')),
    ['blobs', 'imgcopy'],
  );
});

test('cache compile needs no registry, and no proxy', options, async (t) => {
  const installed = await install(t);
  const proxy = 'http://127.0.0.1:1';
  const { status, stderr } = await installed.run(['cache', 'compile'], {
    env: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, IMGCOPY_HOSTS_DIR: '/nowhere' },
  });
  assert.equal(status, 0, stderr);
});

test('other users take it as well', { ...options, skip: !isRoot && 'only root can be another user' }, async (t) => {
  const installed = await install(t);
  await installed.compile();
  const env = { NODE_COMPILE_CACHE: '' };
  assert.equal(await installed.copy('same', { uid: stranger, env }), 'imgcopy.cjs: false;');
});

test('several at a time all succeed, and all users can read what they leave', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  for (const name of ['imgcopy-0123456789abcdef-v99.0.0-x64', 'blobs-0123456789abcdef-v99.0.0-x64'])
    await writeFile(join(installed.compiled, name), '');
  const umask = process.umask(0o077);
  try {
    await Promise.all([installed.compile(), installed.compile(), installed.compile()]);
  } finally {
    process.umask(umask);
  }
  const names = await readdir(installed.compiled);
  const modes = await Promise.all(names.map(async (name) => (await stat(join(installed.compiled, name))).mode & 0o777));
  assert.deepEqual(modes, [0o644, 0o644]);
  assert.equal((await stat(installed.compiled)).mode & 0o777, 0o755);
});

test(
  'cache compile says who may write there',
  { ...options, skip: !isRoot && 'only root can be another user' },
  async (t) => {
    const installed = await install(t);
    const { status, stderr } = await installed.run(['cache', 'compile'], {
      uid: stranger,
      env: { NODE_COMPILE_CACHE: '' },
    });
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^imgcopy: cannot write to .*compiled\n.*EACCES.*\n {2}hint: .*as the user who installed .*\[ERR_NOT_WRITABLE\]\n$/s,
    );
    assert.equal((await readdir(installed.folder)).includes('compiled'), false);
  },
);

test('another version of Node.js leaves it, and its first runs compile', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  const preload = `Object.defineProperty(process, 'version', { value: 'v99.0.0' });`;
  assert.equal(await installed.copy('same', { preload }), 'imgcopy.cjs: undefined;');
});

test('where V8 rejects it, imgcopy works, and keeps code of its own in the home directory', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  for (const name of await readdir(installed.compiled)) await writeFile(join(installed.compiled, name), 'damaged');
  await using home = await createCliHome();
  const verdicts = [];
  for (const _ of [1, 2, 3]) verdicts.push(await installed.copy('same', { home: home.path }));
  assert.deepEqual(verdicts, ['imgcopy.cjs: true;', 'imgcopy.cjs: true;', 'imgcopy.cjs: false;']);
});

test('code that this user keeps comes first', options, async (t) => {
  const installed = await install(t);
  await using home = await createCliHome();
  const keep = async (): Promise<string> => await installed.copy('same', { home: home.path });
  await keep();
  await keep();
  await installed.compile();
  for (const name of await readdir(installed.compiled)) await writeFile(join(installed.compiled, name), 'damaged');
  assert.equal(await keep(), 'imgcopy.cjs: false;');
});

test('NODE_DISABLE_COMPILE_CACHE holds for it too', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  assert.equal(await installed.copy('same', { env: { NODE_DISABLE_COMPILE_CACHE: '1' } }), 'imgcopy.cjs: undefined;');
});

test(
  'cache compile replaces the code of other builds, and leaves that of other versions of Node.js',
  options,
  async (t) => {
    const installed = await install(t);
    await installed.compile();
    const names = await readdir(installed.compiled);
    const others = names.map((name) => name.replace(process.version, 'v99.0.0'));
    for (const name of [...others, 'imgcopy-0123456789abcdef-v99.0.0-x64'])
      await writeFile(join(installed.compiled, name), '');
    const [first = ''] = names;
    await writeFile(join(installed.compiled, first), 'damaged');
    await installed.compile();
    assert.deepEqual(await readdir(installed.compiled), [...names, ...others].toSorted());
    assert.ok((await stat(join(installed.compiled, first))).size > 100_000);
  },
);

test('cache compile tells why its copy failed, and leaves what was there', options, async (t) => {
  const installed = await install(t);
  await installed.compile();
  const names = await readdir(installed.compiled);
  await writeFile(join(installed.folder, 'bin/compile.js'), `console.error('this went wrong'); process.exitCode = 3;`);
  const { status, stderr } = await installed.run(['cache', 'compile']);
  assert.equal(status, 1);
  assert.match(stderr, /ended with 3\n {2}this went wrong\n {2}hint: .*\[ERR_NOT_COMPILED\]\n$/s);
  assert.deepEqual(await readdir(installed.compiled), names);
});

test('from the sources there is nothing to compile', options, async () => {
  await using home = await createCliHome();
  const file = fileURLToPath(new URL('../support/imgcopy-process.ts', import.meta.url));
  const { status, stderr } = await home.run(['cache', 'compile'], { file });
  assert.equal(status, 2);
  assert.match(stderr, /runs from its sources.*\[ERR_NOT_COMPILED\]\n$/s);
});

test('the package does not have it', async () => {
  const path = join(dirname(dirname(await realpath(builtProgram))), 'package.json');
  const { files } = JSON.parse(await readFile(path, 'utf8')) as { readonly files: readonly string[] };
  assert.deepEqual(
    files.filter((name) => /compiled|[*]/.test(name)),
    [],
  );
});
