import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { digestHex } from '../../src/digest/digest.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { buildImage, buildIndex, type TestImage } from '../support/images.ts';
import { builtProgram } from '../support/imgcopy-command.ts';
import { startRegistry, type RegistryOptions, type TestRegistry } from '../support/registry.ts';

/** What a recipe needs to run, and what is there afterwards. */
interface Expected {
  /** Names that a reader replaces, each of which is a registry here, and how it is set up. */
  readonly hosts: Readonly<Record<string, RegistryOptions>>;
  /** Images that are there before, as `host/repository:tag`. */
  readonly seeded?: readonly string[];
  /** Images that are there after, by the same names. */
  readonly copied: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const local = { 'registry.example.com': {} };
const loggedIn = (username: string, password: string): RegistryOptions => ({
  auth: { kind: 'basic', username, password },
});
const ecr = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';
const uuid = '00000000-0000-0000-0000-000000000000';

const platforms = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }));
const anyImage: TestImage = buildIndex({
  images: platforms.map((platform) => ({
    image: buildImage({ platform, layers: { count: 1, size: 2000 } }),
    platform,
  })),
});
/** One layer more. */
const nextImage: TestImage = buildIndex({
  images: platforms.map((platform) => ({
    image: buildImage({ platform, layers: { count: 2, size: 2000 } }),
    platform,
  })),
});
/** Where cosign 2 keeps the signatures of that. */
const signatureTag = `sha256-${digestHex(anyImage.manifest.digest)}.sig`;

const recipes: Readonly<Record<string, Expected | undefined>> = {
  'Promote an image': {
    hosts: { 'staging.example.com': {}, ...local },
    seeded: ['staging.example.com/app:1.4.2'],
    copied: ['registry.example.com/app:1.4.2'],
  },
  'Copy with signatures': {
    hosts: { 'staging.example.com': {}, ...local },
    seeded: ['staging.example.com/app:1.4.2', `staging.example.com/app:${signatureTag}`],
    copied: ['registry.example.com/app:1.4.2', `registry.example.com/app:${signatureTag}`],
  },
  'All tags': {
    hosts: { 'staging.example.com': {}, ...local },
    seeded: ['1.4.2', '1.5.0-rc1', '2.0', signatureTag].map((tag) => `staging.example.com/app:${tag}`),
    copied: ['1.4.2', '1.5.0-rc1', '2.0', signatureTag].map((tag) => `registry.example.com/app:${tag}`),
  },
  'Check a copy': {
    hosts: { 'staging.example.com': {}, ...local },
    seeded: ['staging.example.com/app:1.4.2', `staging.example.com/app:${signatureTag}`],
    copied: ['registry.example.com/app:1.4.2', `registry.example.com/app:${signatureTag}`],
  },
  'To three registries at once': {
    hosts: { ...local, 'eu.example.com': {}, 'us.example.com': {} },
    copied: ['registry.example.com/alpine:3.20', 'eu.example.com/alpine:3.20', 'us.example.com/mirror/alpine:stable'],
  },
  Retag: {
    hosts: local,
    seeded: ['registry.example.com/app:1.4.2'],
    copied: ['stable', 'latest', '1.4', '1'].map((tag) => `registry.example.com/app:${tag}`),
  },
  'One platform': {
    hosts: local,
    copied: ['registry.example.com/alpine:3.20-arm64', 'registry.example.com/alpine:3.20'],
  },
  'What would it cost': {
    hosts: { 'staging.example.com': {}, 'mirror.example.com': {}, ...local },
    seeded: ['staging.example.com/app:1.4.2'],
    copied: ['registry.example.com/app:1.4.2'],
  },
  'Replace a tag only if nobody else has': {
    hosts: local,
    seeded: ['registry.example.com/app:1.4.2', 'registry.example.com/app:stable'],
    copied: ['registry.example.com/app:stable', 'registry.example.com/app:1.4'],
  },
  'Mirror a list': {
    hosts: local,
    copied: ['registry.example.com/mirror/alpine:3.20', 'registry.example.com/mirror/busybox:1.36'],
  },
  'Amazon ECR': { hosts: { [ecr]: loggedIn('AWS', 'secret') }, copied: [`${ecr}/app:3.20`] },
  'GitHub Container Registry (GHCR)': {
    hosts: { 'ghcr.io': loggedIn('octocat', 'secret') },
    env: { GITHUB_TOKEN: 'secret' },
    copied: ['ghcr.io/octocat/alpine:3.20'],
  },
  Harbor: {
    hosts: { 'harbor.example.com': loggedIn('robot$mirror', 'secret') },
    env: { ROBOT_SECRET: 'secret' },
    copied: ['harbor.example.com/library/alpine:3.20'],
  },
  'Google Artifact Registry': {
    hosts: { 'europe-docker.pkg.dev': loggedIn('oauth2accesstoken', 'secret') },
    copied: ['europe-docker.pkg.dev/my-project/my-repository/alpine:3.20'],
  },
  'Azure Container Registry': {
    hosts: { 'example.azurecr.io': loggedIn(uuid, 'secret') },
    copied: ['example.azurecr.io/alpine:3.20'],
  },
  'Docker Hub and its rate limits': {
    hosts: local,
    env: { DOCKER_TOKEN: 'secret' },
    copied: ['registry.example.com/mirror/alpine:3.20'],
  },
  'An air gap, by USB': {
    hosts: local,
    copied: ['registry.example.com/alpine:3.20', 'registry.example.com/alpine:3.21'],
  },
  'Pipes: docker, podman, ssh': { hosts: local, copied: ['registry.example.com/app:1'] },
  'A private CA': { hosts: local, copied: ['registry.example.com/alpine:3.20'] },
  'A corporate proxy': { hosts: local, copied: ['registry.example.com/alpine:3.20'] },
  'A local registry for kind, k3d or minikube': {
    hosts: { 'localhost:5001': {} },
    copied: ['localhost:5001/alpine:3.20'],
  },
  'Credentials in CI without docker': {
    hosts: { 'registry.example.com': loggedIn('ci', 'secret') },
    env: { PASSWORD: 'secret' },
    copied: ['registry.example.com/alpine:3.20'],
  },
};

const page = await readFile(join(root, 'docs/recipes.md'), 'utf8');
const sections = page.split(/^## /m).slice(1);

describe('docs/recipes.md', { concurrency: 2 }, () => {
  let hub: TestRegistry;
  before(async () => {
    hub = await startRegistry();
    hub.seed('library/alpine', '3.20', anyImage);
    hub.seed('library/alpine', '3.21', nextImage);
    hub.seed('library/busybox', '1.36', anyImage);
  });
  after(() => hub.close());

  for (const section of sections) {
    const title = section.slice(0, section.indexOf('\n'));
    const blocks = [...section.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = '']) => block);
    test(title, async () => {
      const expected = recipes[title];
      assert.ok(expected !== undefined, 'every section has its expectation here');
      assert.ok(blocks.length > 0);
      await using stage = await setUp(hub, title, expected);
      for (const block of blocks) await stage.run(block);
      for (const name of expected.copied) assert.ok(stage.has(name), `${name} was copied`);
    });
  }
});

interface Stage extends AsyncDisposable {
  run(block: string): Promise<void>;
  has(name: string): boolean;
}

async function setUp(hub: TestRegistry, title: string, expected: Expected): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-recipe-'));
  const certificate = title === 'A private CA' ? selfSignedCertificate() : undefined;
  const registries = new Map<string, TestRegistry>();
  for (const [host, options] of Object.entries(expected.hosts)) {
    registries.set(host, await startRegistry({ ...options, ...(certificate && { tls: certificate }) }));
  }
  const find = (name: string): { registry: TestRegistry; repository: string; tag: string } => {
    const [host] = [...registries.keys()].filter((candidate) => name.startsWith(`${candidate}/`));
    const registry = registries.get(host ?? '');
    const [, repository, tag] = /\/(.*):(.*)$/.exec(name) ?? [];
    assert.ok(registry !== undefined && repository !== undefined && tag !== undefined, name);
    return { registry, repository, tag };
  };
  for (const name of expected.seeded ?? []) {
    const { registry, repository, tag } = find(name);
    registry.seed(repository, tag, anyImage);
  }
  if (certificate !== undefined) await writeFile(join(folder, 'company-ca.pem'), certificate.cert);
  const replaced = [...registries].map(([host, { host: address }]) => [host, address] as const);
  await writePrograms(
    join(folder, 'bin'),
    [...replaced, ['/media/usb', join(folder, 'usb')], ['/srv', join(folder, 'srv')], ['docker.io', hub.host]],
    hub,
  );
  return {
    run: (block) => run(block, folder, expected.env ?? {}),
    has: (name) => {
      const { registry, repository, tag } = find(name);
      return registry.manifest(repository, tag) !== undefined;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([...registries.values()].map((registry) => registry.close()));
      await rm(folder, { recursive: true });
    },
  };
}

/** An `imgcopy` that finds the names on the page at the registries of this test, and the tools that a page calls. */
async function writePrograms(
  folder: string,
  replaced: readonly (readonly [from: string, to: string])[],
  hub: TestRegistry,
): Promise<void> {
  const replacements = replaced.map(([from, to]) => `  text=\${text//${from.replaceAll('/', '\\/')}/${to}}`);
  const imgcopy = `#!/usr/bin/env bash
moved() {
  local text=$1
${replacements.join('\n')}
  [[ $text == alpine:* || $text == busybox:* ]] && text=${hub.host}/library/$text
  printf %s "$text"
}
args=()
for argument; do args+=("$(moved "$argument")"); done
[[ -v DOCKER_AUTH_CONFIG ]] && DOCKER_AUTH_CONFIG=$(moved "$DOCKER_AUTH_CONFIG")
exec '${process.execPath}' '${builtProgram}' "\${args[@]}"
`;
  const secret = '#!/usr/bin/env bash\necho secret\n';
  const docker = '#!/usr/bin/env bash\nif [[ $1 == load ]]; then cat >loaded; else cat loaded; fi\n';
  const ssh = '#!/usr/bin/env bash\nshift\nexec "$@"\n';
  await mkdir(folder);
  for (const [name, script] of Object.entries({ imgcopy, aws: secret, gcloud: secret, az: secret, docker, ssh })) {
    await writeFile(join(folder, name), script);
    await chmod(join(folder, name), 0o755);
  }
}

async function run(block: string, folder: string, env: Readonly<Record<string, string>>): Promise<void> {
  const path = [join(folder, 'bin'), process.env['PATH'] ?? ''].join(delimiter);
  const child = spawn('bash', ['-euo', 'pipefail', '-c', block], {
    cwd: folder,
    env: { HOME: folder, PATH: path, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [output, errors, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  assert.equal(status, 0, `${block}\n${output}${errors}`);
}
