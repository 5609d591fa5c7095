import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

interface Import {
  readonly from: string;
  readonly statement: string;
}

const refused: readonly Import[] = [
  { from: 'src/copy/copy-blob.ts', statement: "import '../transports/registry/source.ts'" },
  { from: 'src/copy/copy-image.ts', statement: "import '../index.ts'" },
  { from: 'src/copy/copy-digest.ts', statement: "import '../library/options.ts'" },
  { from: 'src/copy/copy-lazily.ts', statement: "await import('../transports/dir/source.ts')" },
  { from: 'src/transports/registry/source.ts', statement: "import '../../copy/copy-blob.ts'" },
  { from: 'src/transports/registry/client.ts', statement: "import '../dir/layout.ts'" },
  { from: 'src/transports/dir/source.ts', statement: "import '../registry/client.ts'" },
  { from: 'src/transports/dir/names.ts', statement: "import '../table.ts'" },
  { from: 'src/transports/list.ts', statement: "import '../library/copier.ts'" },
  { from: 'src/transports/registry/pool.ts', statement: "import 'undici'" },
  { from: 'src/transports/dir/tar.ts', statement: "import 'tar-stream'" },
  { from: 'src/local/tar.ts', statement: "import 'tar-stream'" },
  { from: 'src/transports/archive/layout.ts', statement: "import '../dir/layout.ts'" },
  { from: 'src/transports/archive/send.ts', statement: "import 'undici'" },
  { from: 'src/partial/plan.ts', statement: "import '../cache/blob-info-cache.ts'" },
  { from: 'src/partial/toc.ts', statement: "import '../local/blob-store.ts'" },
  { from: 'src/local/store.ts', statement: "import '../cache/cache-store.ts'" },
  { from: 'src/http/retry.ts', statement: "import '../auth/authenticate.ts'" },
  { from: 'src/http/ranges/answer.ts', statement: "import '../../auth/token.ts'" },
  { from: 'src/transports/registry/read/tags.ts', statement: "import '../../dir/layout.ts'" },
  { from: 'src/registries/rules.ts', statement: "import '../auth/auth-file.ts'" },
  { from: 'src/auth/helpers.ts', statement: "import '../registries/rules.ts'" },
  { from: 'src/http/mirrors.ts', statement: "import '../registries/rules.ts'" },
  { from: 'src/http/progress.ts', statement: "import 'chalk'" },
  { from: 'src/contract/image-source.ts', statement: "import type { Send } from '../http/send.ts'" },
  { from: 'src/manifest/parse.ts', statement: "import '../reference/parse.ts'" },
  { from: 'src/digest/digest.ts', statement: "import '../contract/blob-info.ts'" },
  { from: 'src/retry/attempts.ts', statement: "import '../http/send.ts'" },
  { from: 'src/retry/judge.ts', statement: "import '../digest/digest.ts'" },
  { from: 'src/io/semaphore.ts', statement: "import '../digest/digest.ts'" },
  { from: 'src/io/clock.ts', statement: "import '../retry/attempts.ts'" },
  { from: 'src/errors/imgcopy-error.ts', statement: "import '../io/semaphore.ts'" },
  { from: 'src/index.ts', statement: "import './cli/main.ts'" },
  { from: 'src/cli/copy.ts', statement: "import { copyBlob } from '../copy/copy-blob.ts'" },
  { from: 'src/cli/progress/rate.ts', statement: "import { copyBlob } from '../../copy/copy-blob.ts'" },
  { from: 'src/cli/progress/summary.ts', statement: "import { Copier } from '../../library/copier.ts'" },
  { from: 'src/cli/options.ts', statement: "import { readOptions } from '../library/options.ts'" },
  { from: 'src/cli/fetch.ts', statement: "import 'undici/lib/dispatcher/agent.js'" },
  { from: 'src/cache/table.ts', statement: "import 'commander'" },
];

const accepted: readonly Import[] = [
  { from: 'src/http/ranges/reader.ts', statement: "import '../send/body.ts'; import '../../digest/digest.ts'" },
  { from: 'src/transports/registry/read/list.ts', statement: "import '../client.ts'; import '../../transport.ts'" },
  { from: 'src/transports/dir/index.ts', statement: "import '../transport.ts'; import '../../io/clock.ts'" },
  { from: 'src/transports/table.ts', statement: "import './dir/index.ts'; import '../reference/reference-errors.ts'" },
  { from: 'src/transports/archive/members.ts', statement: "import 'tar-stream'; import '../../local/blob-store.ts'" },
  { from: 'src/library/copier.ts', statement: "await import('../transports/dir/source.ts')" },
  { from: 'src/cli/main.ts', statement: "import 'commander'; import '../index.ts'; import './copy.ts'" },
  { from: 'src/cli/progress/open.ts', statement: "import 'chalk'; import '../../index.ts'; import '../format.ts'" },
  { from: 'src/cli/progress.ts', statement: "import type { ProgressEvent } from '../contract/progress.ts'" },
  { from: 'src/copy/copy-index.ts', statement: "import './copy-manifest.ts'; import '../manifest/descriptor.ts'" },
  { from: 'src/transports/dir/layout.ts', statement: "import '../../local/blob-file.ts'; import './source.ts'" },
  { from: 'src/local/assembled.ts', statement: "import '../partial/fetch/assemble-blob.ts'" },
  { from: 'src/http/undici-send.ts', statement: "import 'undici'; import '../errors/imgcopy-error.ts'" },
  { from: 'src/retry/wait.ts', statement: "import '../errors/imgcopy-error.ts'; import '../io/clock.ts'" },
  { from: 'src/http/retry-layer.ts', statement: "import '../retry/attempts.ts'" },
  { from: 'src/contract/errors.ts', statement: "import '../errors/imgcopy-error.ts'; import '../digest/digest.ts'" },
];

/** Each imports the other, if only a type. */
const circle: readonly Import[] = [
  { from: 'src/digest/circle.ts', statement: "import type { Round } from './round.ts'; export type Circle = Round" },
  { from: 'src/digest/round.ts', statement: "import type { Circle } from './circle.ts'; export type Round = Circle" },
];

interface Report {
  readonly code: string;
  readonly filename: string;
}

let reports: readonly Report[];

function reported(code: string): ReadonlySet<string> {
  return new Set(reports.filter((report) => report.code === code).map(({ filename }) => filename));
}

before(async () => {
  const tree = await mkdtemp(join(tmpdir(), 'imgcopy-lint-'));
  try {
    reports = await lint(tree);
  } finally {
    await rm(tree, { recursive: true });
  }
});

for (const { from, statement } of refused) {
  test(`the linter refuses ${statement} in ${from}`, () => {
    assert.ok(reported('eslint(no-restricted-imports)').has(from));
  });
}

for (const { from, statement } of accepted) {
  test(`the linter accepts ${statement} in ${from}`, () => {
    assert.ok(!reported('eslint(no-restricted-imports)').has(from));
  });
}

test('the linter refuses a circle of imports, of types too', () => {
  for (const { from } of circle) assert.ok(reported('import(no-cycle)').has(from));
});

test('each folder of src has its place in the rules, and in the table of docs/architecture.md', async () => {
  const [rules, page] = await Promise.all(
    ['.oxlintrc.json', 'docs/architecture.md'].map((path) => readFile(join(root, path), 'utf8')),
  );
  const entries = await readdir(join(root, 'src'), { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const missing = folders.flatMap((name) => [
    ...(rules?.includes(`"src/${name}/*`) ? [] : [`.oxlintrc.json: ${name}`]),
    ...(page?.includes(`\`src/${name}\``) || page?.includes(`\`${name}\``) ? [] : [`docs/architecture.md: ${name}`]),
  ]);
  assert.ok(folders.length > 10);
  assert.deepEqual(missing, []);
});

/** Lints a tree of all the imports above, under the configuration of the project. */
async function lint(tree: string): Promise<readonly Report[]> {
  await copyFile(join(root, '.oxlintrc.json'), join(tree, '.oxlintrc.json'));
  for (const { from, statement } of [...refused, ...accepted, ...circle]) {
    await mkdir(dirname(join(tree, from)), { recursive: true });
    await writeFile(join(tree, from), `${statement};\n`);
  }
  const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
  const { stdout } = spawnSync(process.execPath, [oxlint, '--format=json'], { cwd: tree, encoding: 'utf8' });
  return (JSON.parse(stdout) as { diagnostics: readonly Report[] }).diagnostics;
}
