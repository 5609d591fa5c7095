import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { digestOf } from '../../src/digest/digest.ts';
import { parseManifest } from '../../src/manifest/parse-manifest.ts';
import { buildImage, type TestImage } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = await readFile(join(root, 'docs/library.md'), 'utf8');

const image = buildImage({
  layers: { count: 2, size: 1000 },
  platform: { os: 'linux', architecture: 'amd64' },
});

/** What an example prints; and what is in the registries afterwards, as `repository:tag`. */
interface Expected {
  readonly printed: RegExp;
  readonly copied?: readonly string[];
}

const examples: Readonly<Record<string, Expected | undefined>> = {
  'The library': { printed: new RegExp(`^dir:gzip@${image.manifest.digest} \\d+$`) },
  'Many copies: createCopier': {
    printed: new RegExp(`^docker://HOST/mirror/gzip:v1 ${image.manifest.digest}\ndocker://HOST/mirror/gzip:v2 `),
    copied: ['mirror/gzip:v1', 'mirror/gzip:v2'],
  },
  'A dry run': { printed: /^(\d+) of \1 bytes would be downloaded, 3 blobs looked at$/ },
  'Several destinations': {
    printed: /^docker:\/\/HOST\/first\/gzip:v1 \d+\ndocker:\/\/HOST\/second\/gzip:latest 0\ndir:gzip \d+$/,
    copied: ['first/gzip:v1', 'second/gzip:latest'],
  },
  Events: { printed: /^$/ },
  'All tags of a repository': {
    printed: new RegExp(`^(?=[^]*v1 ${image.manifest.digest})(?=[^]*v2 ${image.manifest.digest})`),
    copied: ['mirror/gzip:v1', 'mirror/gzip:v2'],
  },
  Questions: { printed: new RegExp(`^v1 ${image.manifest.digest}\nv2 ${image.manifest.digest}\n2 layers$`) },
  'Whether an image is whole': { printed: new RegExp(`^${image.manifest.digest} is whole: 3 blobs$`) },
  'A source or destination of your own': {
    printed: /^docker:\/\/HOST\/hello@sha256:[0-9a-f]{64}$/,
    copied: ['hello:v1'],
  },
};

const sections = page.split(/^##? /m).slice(1);
for (const section of sections) {
  const title = section.slice(0, section.indexOf('\n'));
  const blocks = [...section.matchAll(/^```js\n(.*?)^```/gms)].map(([, block = '']) => block);
  if (blocks.length === 0) continue;
  test(`the example under "${title}" in docs/library.md does what it says`, async () => {
    const expected = examples[title];
    assert.ok(expected !== undefined, 'every section with an example has its expectation here');
    await using registry = await startRegistry();
    for (const tag of ['v1', 'v2']) registry.seed('gzip', tag, image);
    registry.seed('zstdchunked', 'v2', image);
    for (const block of blocks) assert.match(await run(block, registry), expected.printed);
    for (const name of expected.copied ?? []) assert.ok(manifestOf(registry, name), `${name} was copied`);
    if (title === 'A source or destination of your own') checkHello(registry);
  });
}

/** Runs an example, in a folder of its own, with the registry in the place of its hosts. @returns what it prints. */
async function run(example: string, { host }: TestRegistry): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-example-'));
  try {
    await writeFile(join(folder, 'package.json'), '{ "private": true }');
    await mkdir(join(folder, 'node_modules'));
    await symlink(resolve(root), join(folder, 'node_modules/imgcopy'));
    const file = join(folder, 'example.mjs');
    await writeFile(file, example.replaceAll(/127\.0\.0\.1:500\d|registry\.example\.com/g, host));
    const env = { PATH: process.env['PATH'], HOME: folder };
    const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder, env });
    return stdout.trimEnd().replaceAll(host, 'HOST');
  } finally {
    await rm(folder, { recursive: true });
  }
}

function manifestOf(registry: TestRegistry, name: string): TestImage['manifest'] | undefined {
  const [repository = '', tag = ''] = name.split(':');
  return registry.manifest(repository, tag);
}

/** The image made in memory is one that other tools can use. */
function checkHello(registry: TestRegistry): void {
  const raw = manifestOf(registry, 'hello:v1');
  assert.ok(raw !== undefined);
  const manifest = parseManifest(raw.bytes, raw.mediaType);
  assert.ok(manifest.kind === 'image' && manifest.config !== undefined);
  const [layer] = manifest.layers;
  assert.ok(layer !== undefined);
  const tar = gunzipSync(registry.blob('hello', layer.digest) ?? '');
  const config = JSON.parse(String(registry.blob('hello', manifest.config.digest))) as {
    rootfs: { diff_ids: string[] };
  };
  assert.deepEqual(config.rootfs.diff_ids, [digestOf(tar)]);
  assert.equal(tar.toString('utf8', 512, 526), 'Hello, world!\n');
}
