import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createCliHome, type CliHome } from '../support/imgcopy-command.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

// What the fingers of those who know another tool type, after the name of the tool.

const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => {
  const platform = { os: 'linux', architecture };
  return { image: buildImage({ platform, layers: { count: 1, size: 100 } }), platform };
}) as [Instance, Instance];
const index = buildIndex({ images: [amd64, arm64] });
const all = index.manifest.digest;
const one = arm64.image.manifest.digest;
const signature = buildImage({ layers: { count: 1, size: 10 } });
const signatureTag = `${all.replace(':', '-')}.sig`;

interface Instance {
  readonly image: ReturnType<typeof buildImage>;
  readonly platform: { readonly os: string; readonly architecture: string };
}

let home: CliHome;
let open: TestRegistry;
let closed: TestRegistry;

before(async () => {
  home = await createCliHome();
  open = await startRegistry();
  closed = await startRegistry({ auth: { kind: 'basic', username: 'user', password: 'secret' } });
  for (const registry of [open, closed]) {
    registry.seed('app', '1', index);
    registry.seed('app', signatureTag, signature);
  }
  const auth = Buffer.from('user:secret').toString('base64');
  await writeFile(join(home.path, 'auth.json'), JSON.stringify({ auths: { [closed.host]: { auth } } }));
});

after(async () => {
  await open.close();
  await closed.close();
  await home[Symbol.asyncDispose]();
});

/** `OPEN` and `CLOSED` stand for the registries. */
const copies: readonly (readonly [tool: string, typed: string, digest: string, signed?: 'signed'])[] = [
  [
    'skopeo',
    '--insecure-policy --debug copy --multi-arch all -q --src-tls-verify=false --dest-tls-verify docker://OPEN/app:1 docker://OPEN/sk1:1',
    all,
  ],
  [
    'skopeo',
    '--policy p.json --tmpdir /tmp --override-os linux --override-arch arm64 copy docker://OPEN/app:1 docker://OPEN/sk2:1',
    one,
  ],
  [
    'skopeo',
    'copy --all --src-creds user:secret --dest-no-creds --dest-precompute-digests docker://CLOSED/app:1 docker://OPEN/sk3:1',
    all,
  ],
  [
    'skopeo',
    'copy --src-tls-verify false --authfile auth.json --image-parallel-copies 2 docker://CLOSED/app:1 docker://OPEN/sk4:1',
    all,
  ],
  ['crane', 'copy --platform linux/arm64 --insecure -j 2 -n OPEN/app:1 OPEN/cr1:1', one],
  ['regctl', 'copy --digest-tags --include-external --fast --force-recursive OPEN/app:1 OPEN/rc1:1', all, 'signed'],
  ['oras', 'cp -d --from-plain-http --to-insecure --concurrency 3 OPEN/app:1 OPEN/or1:1', all],
  [
    'oras',
    'cp --recursive --no-tty --from-username user --from-password secret CLOSED/app:1 OPEN/or2:1',
    all,
    'signed',
  ],
  [
    'oras',
    'copy --from-registry-config auth.json --to-distribution-spec v1.1-referrers-tag CLOSED/app:1 OPEN/or3:1',
    all,
  ],
  ['docker', 'OPEN/app:1 OPEN/do1:1 --disable-content-trust --platform linux/arm64 --quiet', one],
];

describe('what is typed for other tools', { concurrency: 4 }, () => {
  for (const [tool, typed, digest, signed] of copies) {
    test(`${tool} ${typed}`, async () => {
      const [, repository = ''] = /OPEN\/([a-z0-9]+):1(?: --.*)?$/.exec(typed) ?? [];
      const run = await home.run(argumentsOf(typed), { cwd: home.path });
      assert.equal(run.status, 0, run.stderr);
      assert.equal(run.stdout, `docker://${open.host}/${repository}@${digest}\n`);
      assert.equal(open.manifest(repository, '1')?.digest, digest);
      const copied = open.manifest(repository, signatureTag);
      assert.equal(copied?.digest, signed && signature.manifest.digest);
    });
  }

  for (const [tool, typed, printed] of [
    ['skopeo', 'list-tags --tls-verify=false docker://OPEN/app', `1\n${signatureTag}\n`],
    ['skopeo', 'inspect --no-tags --raw docker://OPEN/app:1', index.manifest.bytes.toString()],
    ['oras', 'digest --plain-http --platform linux/arm64 OPEN/app:1', `${one}\n`],
    [
      'oras',
      'referrers --distribution-spec v1.1-referrers-api --artifact-type sig OPEN/app:1',
      `${signature.manifest.digest} sig ${all}\n`,
    ],
  ] as const) {
    test(`${tool} ${typed}`, async () => {
      const run = await home.run(argumentsOf(typed), { cwd: home.path });
      assert.equal(run.status, 0, run.stderr);
      assert.equal(run.stdout, printed);
    });
  }
});

function argumentsOf(typed: string): readonly string[] {
  return typed.replaceAll('OPEN', open.host).replaceAll('CLOSED', closed.host).split(' ');
}
