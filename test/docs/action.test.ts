import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildImage, buildIndex } from '../support/images.ts';
import { builtProgram } from '../support/imgcopy-command.ts';
import { startRegistry } from '../support/registry.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const action = await readFile(join(root, 'action.yml'), 'utf8');
/** The scripts of its steps, without their indentation. */
const scripts = [...action.matchAll(/^ {6}run: \|\n((?: {8}.*\n)+)/gm)].map(([, lines = '']) =>
  lines.replaceAll(/^ {8}/gm, ''),
);

test('no input is pasted into a script: what it holds could be run as code', () => {
  assert.equal(scripts.length, 2);
  for (const script of scripts) assert.doesNotMatch(script, /\$\{\{/);
});

test('the action copies the platforms that it is given, and its output is the digest', async () => {
  await using registry = await startRegistry();
  const platforms = ['amd64', 'arm64', 's390x'].map((architecture) => ({ os: 'linux', architecture }));
  registry.seed(
    'app',
    '1',
    buildIndex({ images: platforms.map((platform) => ({ image: buildImage({ platform, layers: [] }), platform })) }),
  );
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-action-'));
  try {
    const command = `#!/usr/bin/env bash\nexec '${process.execPath}' '${builtProgram}' "$@"\n`;
    await writeFile(join(folder, 'imgcopy'), command);
    await chmod(join(folder, 'imgcopy'), 0o755);
    const env = {
      HOME: folder,
      PATH: [folder, process.env['PATH'] ?? ''].join(delimiter),
      GITHUB_OUTPUT: join(folder, 'output'),
      SOURCE: `${registry.host}/app:1`,
      DESTINATION: `${registry.host}/copied:1`,
      IMGCOPY_PLATFORM: 'linux/amd64,linux/arm64',
      IMGCOPY_SRC_USERNAME: '',
      IMGCOPY_SRC_PASSWORD: '',
      IMGCOPY_DEST_USERNAME: '',
      IMGCOPY_DEST_PASSWORD: '',
    };
    const child = spawn('bash', ['-eo', 'pipefail', '-c', scripts[1] ?? ''], { cwd: folder, env, stdio: 'ignore' });
    const [status] = (await once(child, 'exit')) as [number | null];
    assert.equal(status, 0);
    const copied = registry.manifest('copied', '1');
    assert.equal(await readFile(env.GITHUB_OUTPUT, 'utf8'), `digest=${copied?.digest}\n`);
    assert.equal((JSON.parse(copied?.bytes.toString() ?? '{}') as { manifests: unknown[] }).manifests.length, 2);
  } finally {
    await rm(folder, { recursive: true });
  }
});
