import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildArtifact, buildImage } from '../support/images.ts';
import { pushTestImage } from '../support/integration-images.ts';
import { requireTool, runTool } from '../support/real-tools.ts';
import { startRegistry } from '../support/registry.ts';
import { temporaryDirectory } from '../transports/dir/image-directory.ts';
import { copyAfresh, realKinds, referenceAt } from './real-ends.ts';

const image = buildImage({ layers: { count: 1, size: 1000 } });
const sbom = buildArtifact({
  artifactType: 'application/vnd.example.sbom',
  files: { 'sbom.json': '{}' },
  subject: image.manifest,
  annotations: { 'org.example.author': 'ann' },
});

for (const { name, start } of realKinds) {
  test(`oras and regctl find what was copied to ${name} among what refers to its subject`, async (t) => {
    const [oras, regctl] = [requireTool(t, 'oras'), requireTool(t, 'regctl')];
    const registry = await start(t);
    if (oras === undefined || regctl === undefined || registry === undefined) return;
    await using source = await startRegistry();
    source.seed('app', '1', image);
    source.seed('app', 'sbom', sbom);
    const folder = await temporaryDirectory(t);
    for (const tag of ['1', 'sbom'])
      await copyAfresh(referenceAt(source, `app:${tag}`), referenceAt(registry, `app:${tag}`), folder);
    const subject = `${registry.host}/app@${image.manifest.digest}`;
    const { stdout: found } = await runTool(oras, ['discover', '--plain-http', '--format', 'json', subject]);
    const { referrers } = JSON.parse(found) as { referrers: readonly Record<string, unknown>[] };
    assert.deepEqual(
      referrers.map(({ digest, artifactType, annotations }) => ({ digest, artifactType, annotations })),
      [
        {
          digest: sbom.manifest.digest,
          artifactType: 'application/vnd.example.sbom',
          annotations: { 'org.example.author': 'ann' },
        },
      ],
    );
    const plain = ['--host', `reg=${registry.host},tls=disabled`];
    const { stdout: tree } = await runTool(regctl, ['artifact', 'tree', ...plain, `${registry.host}/app:1`]);
    assert.match(tree, new RegExp(sbom.manifest.digest));
  });

  test(`oras and imgcopy add to the same index on ${name}`, async (t) => {
    const oras = requireTool(t, 'oras');
    const registry = await start(t);
    if (oras === undefined || registry === undefined) return;
    await pushTestImage({ url: registry.url, name: 'app' }, '1', image);
    await using source = await startRegistry();
    source.seed('app', '1', image);
    source.seed('app', 'sbom', sbom);
    const folder = await temporaryDirectory(t);
    const attach = (type: string): Promise<unknown> =>
      runTool(oras, ['attach', '--plain-http', '--artifact-type', type, `${registry.host}/app:1`, '-a', 'a=b']);
    await attach('example/first');
    await copyAfresh(referenceAt(source, 'app:sbom'), referenceAt(registry, 'app:sbom'), folder);
    await attach('example/last');
    const { stdout } = await runTool(oras, ['discover', '--plain-http', '--format', 'json', `${registry.host}/app:1`]);
    const { referrers } = JSON.parse(stdout) as { referrers: readonly { artifactType: string }[] };
    assert.deepEqual(referrers.map(({ artifactType }) => artifactType).toSorted(), [
      'application/vnd.example.sbom',
      'example/first',
      'example/last',
    ]);
  });
}
