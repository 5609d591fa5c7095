import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { writeAuthority } from '../support/certificate-files.ts';
import { selfSignedCertificate, type Certificate } from '../support/certificate.ts';
import { buildImage } from '../support/images.ts';
import { builtProgram, createCliHome, type ImgcopyOptions } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';

const options = { timeout: 60_000 };
const image = buildImage({ layers: { count: 1, size: 1_000 } });
/** Each takes a millisecond or more to load, and a copy that finds all in place does without. */
const UNNEEDED = [
  'assert',
  'child_process',
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

/** Runs a copy with nothing to do, and returns what it printed on standard error. */
async function copyNothing(
  t: TestContext,
  {
    tls,
    ...run
  }: Pick<ImgcopyOptions, 'preload'> &
    Partial<Pick<ImgcopyOptions, 'env'>> & { readonly tls?: Certificate | undefined },
): Promise<string> {
  await using home = await createCliHome();
  await using registry = await startRegistry(tls && { tls });
  registry.seed('from', '1', image);
  registry.seed('to', '1', image);
  const trust = tls === undefined ? ['--plain-http'] : [`--src-ca-file=${await writeAuthority(t, tls.cert)}`];
  const sides = tls === undefined ? [] : trust.map((option) => option.replace('src', 'dest'));
  const names = [`${registry.host}/from:1`, `${registry.host}/to:1`];
  const { status, stderr } = await home.run(['-q', ...trust, ...sides, ...names], { file: builtProgram, ...run });
  assert.deepEqual([status, registry.count({ method: 'PUT' })], [0, 0]);
  return stderr;
}

test('a copy with nothing to do loads no module of Node.js that it can do without', options, async (t) => {
  const loaded = JSON.parse(await copyNothing(t, { preload: tellModules })) as string[];
  assert.ok(loaded.includes('crypto'));
  assert.deepEqual(
    loaded.filter((name) => [...UNNEEDED, 'tls'].includes(name)),
    [],
  );
});

test('over TLS it loads node:tls as well, and no more', options, async (t) => {
  const loaded = JSON.parse(await copyNothing(t, { preload: tellModules, tls: selfSignedCertificate() })) as string[];
  assert.ok(loaded.includes('tls'));
  assert.deepEqual(
    loaded.filter((name) => UNNEEDED.includes(name)),
    [],
  );
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
