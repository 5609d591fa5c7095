import assert from 'node:assert/strict';
import { chown, cp, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { writeAuthority } from '../support/certificate-files.ts';
import { selfSignedCertificate, type Certificate } from '../support/certificate.ts';
import { buildImage } from '../support/images.ts';
import { builtProgram, createCliHome, type CliHome, type ImgcopyOptions } from '../support/imgcopy-command.ts';
import { tellVerdicts } from '../support/compiled-code-verdicts.ts';
import { startRegistry } from '../support/registry.ts';

const options = { timeout: 60_000 };
const image = buildImage({ layers: { count: 1, size: 1_000 } });
/** Each takes a millisecond or more to load, and a copy that finds all in place does without. */
const UNNEEDED = [
  'assert',
  'child_process',
  'fs/promises',
  'http',
  'http2',
  'https',
  'perf_hooks',
  'sqlite',
  'worker_threads',
  'zlib',
];
const tellModules = `
  process.on('exit', () => {
    const modules = process.moduleLoadList.filter((name) => name.startsWith('NativeModule '));
    process.stderr.write(JSON.stringify(modules.map((name) => name.slice('NativeModule '.length))));
  });
`;

const tellModulesAtRequests = `
  const { subscribe } = process.getBuiltinModule('node:diagnostics_channel');
  subscribe('undici:client:sendHeaders', () => {
    const isLoaded = process.moduleLoadList.includes('NativeModule crypto');
    process.stderr.write((isLoaded ? 'crypto' : 'no crypto') + ';');
  });
`;

/** Runs a copy with nothing to do, and returns what it printed on standard error. */
async function copyNothing(
  t: TestContext,
  {
    tls,
    env,
    ...run
  }: Pick<ImgcopyOptions, 'preload'> &
    Partial<Pick<ImgcopyOptions, 'env'>> & { readonly tls?: Certificate | undefined },
): Promise<string> {
  await using home = await createCliHome();
  await using registry = await startRegistry(tls && { tls });
  registry.seed('from', '1', image);
  registry.seed('to', '1', image);
  const trust = tls === undefined ? {} : { SSL_CERT_FILE: await writeAuthority(t, tls.cert) };
  const plain = tls === undefined ? ['--plain-http'] : [];
  const { status, stderr } = await home.run(['-q', ...plain, `${registry.host}/from:1`, `${registry.host}/to:1`], {
    file: builtProgram,
    ...run,
    env: { ...trust, ...env },
  });
  assert.deepEqual([status, registry.count({ method: 'PUT' })], [0, 0]);
  return stderr;
}

test('a new image is copied without what credential helpers need, where none is asked', options, async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.seed('from', '1', image);
  const args = ['-q', '--plain-http', `${registry.host}/from:1`, `${registry.host}/to:1`];
  const { stderr } = await home.run(args, { file: builtProgram, preload: tellModules });
  assert.deepEqual(registry.tags('to'), ['1']);
  const loaded = JSON.parse(stderr) as string[];
  assert.deepEqual(
    loaded.filter((name) => ['child_process', 'http', 'http2', 'zlib'].includes(name)),
    [],
  );
});

test('a copy with nothing to do loads no module of Node.js that it can do without', options, async (t) => {
  const loaded = JSON.parse(await copyNothing(t, { preload: tellModules })) as string[];
  assert.ok(loaded.includes('crypto'));
  assert.deepEqual(
    loaded.filter((name) => [...UNNEEDED, 'tls'].includes(name)),
    [],
  );
});

test('node:crypto is loaded when the first requests are on their way', options, async (t) => {
  const loaded = await copyNothing(t, { preload: tellModulesAtRequests });
  assert.equal(loaded, 'no crypto;no crypto;');
});

test('over TLS it loads node:tls as well, and no more', options, async (t) => {
  const loaded = JSON.parse(await copyNothing(t, { preload: tellModules, tls: selfSignedCertificate() })) as string[];
  assert.ok(loaded.includes('tls'));
  assert.deepEqual(
    loaded.filter((name) => UNNEEDED.includes(name)),
    [],
  );
});

test('of the bundle it loads one file, which is small', options, async (t) => {
  const stderr = await copyNothing(t, { preload: tellVerdicts });
  assert.equal(stderr, 'imgcopy.cjs: undefined;');
  const { size } = await stat(join(import.meta.dirname, '../../dist/imgcopy.cjs'));
  assert.ok(size < 1_100_000, `${size} bytes`);
});

for (const tls of [undefined, selfSignedCertificate()]) {
  test(`V8 takes the compiled code of every module of Node.js (${tls ? 'TLS' : 'http'})`, options, async (t) => {
    const stderr = await copyNothing(t, { tls, env: { NODE_DEBUG_NATIVE: 'CODE_CACHE' } });
    const verdicts = stderr.match(/Code cache of .* is (?:accepted|rejected)/g) ?? [];
    assert.ok(verdicts.length > 10, stderr);
    assert.deepEqual(
      verdicts.filter((verdict) => verdict.endsWith('rejected')),
      [],
    );
  });
}

/** @returns what runs a copy with nothing to do, and tells V8's verdicts. */
async function nothingToCopy(t: TestContext, home: CliHome): Promise<() => Promise<string>> {
  const registry = await startRegistry();
  t.after(() => registry.close());
  registry.seed('from', '1', image);
  registry.seed('to', '1', image);
  const args = ['-q', '--plain-http', `${registry.host}/from:1`, `${registry.host}/to:1`];
  return async () => {
    const { status, stderr } = await home.run(args, { file: builtProgram, preload: tellVerdicts });
    assert.equal(status, 0);
    return stderr;
  };
}

/** The files of compiled code that imgcopy itself keeps; Node.js has folders of its own beside them. */
async function keptFiles(home: CliHome): Promise<string[]> {
  const entries = await readdir(join(home.path, 'compiled'), { withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => join(home.path, 'compiled', name));
}

async function keptSizes(home: CliHome): Promise<number[]> {
  return await Promise.all((await keptFiles(home)).map(async (file) => (await stat(file)).size));
}

test('the second run keeps compiled code, and later ones take it', options, async (t) => {
  await using home = await createCliHome();
  const copy = await nothingToCopy(t, home);
  assert.deepEqual([await copy(), await keptSizes(home)], ['imgcopy.cjs: undefined;', [0]]);
  assert.equal(await copy(), 'imgcopy.cjs: undefined;');
  const [bytes = 0, ...others] = await keptSizes(home);
  assert.ok(bytes > 500_000);
  assert.deepEqual([others, await copy(), await keptSizes(home)], [[], 'imgcopy.cjs: false;', [bytes]]);
});

test('the code of all files is kept that a copy of blobs loads', options, async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.seed('from', '1', image);
  const copyTo = async (to: string): Promise<string> => {
    const args = ['-q', '--plain-http', `${registry.host}/from:1`, `${registry.host}/${to}:1`];
    const { status, stderr } = await home.run(args, { file: builtProgram, preload: tellVerdicts });
    assert.equal(status, 0);
    return stderr;
  };
  assert.equal(await copyTo('first'), 'imgcopy.cjs: undefined;blobs.cjs: undefined;');
  await copyTo('second');
  assert.equal(await copyTo('third'), 'imgcopy.cjs: false;blobs.cjs: false;');
});

test('files of two builds are not mixed', options, async () => {
  const project = join(import.meta.dirname, '../..');
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.seed('from', '1', image);
  // Its node_modules are not needed: the bundle has all.
  const folder = join(home.path, 'installed');
  for (const part of ['bin', 'dist', 'package.json'])
    await cp(join(project, part), join(folder, part), { recursive: true });
  const file = join(folder, 'bin/imgcopy.js');
  const later = join(folder, 'dist/blobs.cjs');
  await writeFile(later, (await readFile(later, 'utf8')).replace(/\/\/ \w+/, '// 0123456789abcdef'));
  const args = ['-q', '--plain-http', `${registry.host}/from:1`, `${registry.host}/to:1`];
  const { status, stderr } = await home.run(args, { file });
  assert.equal(status, 1);
  assert.match(stderr, /imgcopy was replaced by another version while it ran/);
  assert.match(stderr, /hint: run the same command again.*\[ERR_PROGRAM_REPLACED\]/);
});

test('code that was kept long ago is removed when another version keeps its first', options, async (t) => {
  await using home = await createCliHome();
  const copy = await nothingToCopy(t, home);
  const folder = join(home.path, 'compiled');
  await mkdir(folder);
  // A run that is killed while it writes leaves a name with its process id.
  const old = ['imgcopy-0123456789abcdef-1', 'imgcopy-0123456789abcdef-1.4711'];
  const recent = ['blobs-0123456789abcdef-1', 'blobs-0123456789abcdef-1.4711'];
  const others = ['something-else', 'imgcopy-0123456789abcdef-1.txt'];
  const names = [...old, ...recent, ...others];
  for (const name of names) await writeFile(join(folder, name), '');
  for (const name of [...old, ...others]) await utimes(join(folder, name), 0, 0);
  await copy();
  const kept = await readdir(folder);
  assert.deepEqual(
    names.filter((name) => kept.includes(name)),
    [...recent, ...others],
  );
});

test('a copy adds its code to what a smaller command kept', options, async (t) => {
  await using home = await createCliHome();
  const copy = await nothingToCopy(t, home);
  for (const _ of [1, 2]) await home.run(['--version'], { file: builtProgram });
  const [before = 0] = await keptSizes(home);
  assert.ok(before > 0);
  await copy();
  const [after = 0] = await keptSizes(home);
  assert.ok(after > before + 200_000);
});

for (const [name, spoil] of [
  ['is damaged', (path: string) => writeFile(path, 'damaged')],
  ['another user wrote', (path: string) => chown(path, 12_345, 12_345)],
] as const) {
  const skip = process.geteuid?.() !== 0 && name !== 'is damaged' && 'only root can give a file away';
  test(`compiled code that ${name} is not taken, but replaced`, { ...options, skip }, async (t) => {
    await using home = await createCliHome();
    const copy = await nothingToCopy(t, home);
    await copy();
    await copy();
    const [path = ''] = await keptFiles(home);
    assert.equal(await copy(), 'imgcopy.cjs: false;');
    await spoil(path);
    assert.notEqual(await copy(), 'imgcopy.cjs: false;');
    await copy();
    assert.equal(await copy(), 'imgcopy.cjs: false;');
    const { uid, mode } = await stat(path);
    assert.deepEqual([uid, mode & 0o777], [process.geteuid?.(), 0o600]);
  });
}

test('a copy goes well where compiled code cannot be kept', options, async (t) => {
  await using home = await createCliHome();
  const copy = await nothingToCopy(t, home);
  await writeFile(join(home.path, 'compiled'), 'not a folder');
  assert.equal(await copy(), 'imgcopy.cjs: undefined;');
});

test('all of a long output is written before it ends', options, async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  // More than a pipe holds.
  const note = 'x'.repeat(1_000_000);
  const long = buildImage({ layers: { count: 1, size: 1_000 }, annotations: { note } });
  registry.seed('from', '1', long);
  const args = ['inspect', '--raw', '--plain-http', `${registry.host}/from:1`];
  const { status, stdout } = await home.run(args, { file: builtProgram });
  assert.equal(status, 0);
  assert.equal(stdout, long.manifest.bytes.toString());
});

test(
  'a copy over TLS lets Node.js end by itself: it may be reading certificates in a thread, and crash',
  options,
  async (t) => {
    const preload = `process.exit = () => process.stderr.write('process.exit');`;
    assert.equal(await copyNothing(t, { preload, tls: selfSignedCertificate() }), '');
  },
);
