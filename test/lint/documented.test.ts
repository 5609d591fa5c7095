import assert from 'node:assert/strict';
import { access, glob, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { DEFAULT_RETRY_POLICY } from '../../src/retry/attempts.ts';
import { transports } from '../../src/transports/table.ts';

const root = new URL('../../', import.meta.url);

function read(path: string): Promise<string> {
  return readFile(new URL(path, root), 'utf8');
}

async function textsOf(pattern: string): Promise<string> {
  const texts: string[] = [];
  for await (const file of glob(pattern, { cwd: root })) texts.push(await read(file));
  return texts.join('\n');
}

/** Codes that the source names and does not give: those of Node.js, and one that src/http wraps. */
const NOT_GIVEN = new Set([
  'ERR_CHILD_PROCESS_STDIO_MAXBUFFER',
  'ERR_SSL',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'ERR_CONNECT',
]);

const given = new Set(
  [...(await textsOf('src/**/*.ts')).matchAll(/'(ERR_[A-Z0-9_]+)'/g)]
    .map(([, code = '']) => code)
    .filter((code) => !NOT_GIVEN.has(code)),
);

function codesIn(text: string): ReadonlySet<string> {
  return new Set(text.match(/\bERR_[A-Z0-9_]+/g));
}

test('docs/errors.md has each code that an error can have, and no others', async () => {
  const documented = codesIn(await read('docs/errors.md'));
  assert.deepEqual([...documented].toSorted(), [...given].toSorted());
});

test('all other pages name codes that an error can have', async () => {
  const named = codesIn((await textsOf('docs/*.md')) + (await read('README.md')) + (await read('CONTRIBUTING.md')));
  assert.deepEqual(
    [...named].filter((code) => !given.has(code)),
    [],
  );
});

/** A number of the source, as it is written there: factors, each a number or another constant of the file. */
async function constant(path: string, name: string): Promise<number> {
  const text = await read(`src/${path}`);
  const found = new RegExp(`^(?:export )?const ${name}(?:: number)? = ([^;]+);`, 'm').exec(text)?.[1];
  assert.ok(found, `src/${path} has no constant ${name}`);
  let product = 1;
  for (const factor of found.split('*').map((one) => one.trim())) {
    product *= /^[A-Z]/.test(factor) ? await constant(path, factor) : Number(factor.replaceAll('_', ''));
  }
  assert.ok(Number.isFinite(product), `${name} of src/${path} is not a product of numbers`);
  return product;
}

/** A number in an object of the source. */
async function field(path: string, name: string, key: string): Promise<number> {
  const found = new RegExp(`const ${name}\\b[^;]*\\b${key}: ([\\d_.]+)`).exec(await read(`src/${path}`))?.[1];
  assert.ok(found, `src/${path} has no ${name}.${key}`);
  return Number(found.replaceAll('_', ''));
}

async function mib(path: string, name: string): Promise<number> {
  return (await constant(path, name)) / 1024 / 1024;
}

async function kib(path: string, name: string): Promise<number> {
  return (await constant(path, name)) / 1024;
}

async function seconds(path: string, name: string): Promise<number> {
  return (await constant(path, name)) / 1000;
}

async function days(path: string, name: string): Promise<number> {
  return (await seconds(path, name)) / 24 / 60 / 60;
}

const WORDS: ReadonlyMap<number, string> = new Map([
  [1 / 4, 'a quarter'],
  [1 / 16, 'a sixteenth'],
  [4, 'four'],
  [5, 'five'],
  [6, 'six'],
  [8, 'eight'],
  [10, 'ten'],
]);

function inWords(number: number): string {
  return WORDS.get(number) ?? String(number);
}

function grouped(number: number): string {
  return number.toLocaleString('en-US');
}

const { retries, delayMs, maxDelayMs } = DEFAULT_RETRY_POLICY;
const jobs = await constant('library/shared-resources.ts', 'DEFAULT_JOBS');
const idleSeconds = await seconds('library/shared-resources.ts', 'DEFAULT_TIMEOUT_MS');
const gate = {
  first: await constant('library/shared-resources.ts', 'REQUESTS_PER_HOST'),
  most: await constant('transports/registry/registry-access.ts', 'MOST_REQUESTS'),
  clean: inWords(await constant('http/send/gate.ts', 'CLEAN_ANSWERS')),
};
const connections = await constant('transports/registry/registry-access.ts', 'CONNECTIONS');
const window = {
  first: await constant('partial/fetch/range-window.ts', 'FIRST_SIZE'),
  most: await constant('partial/fetch/range-window.ts', 'MAX_SIZE'),
  least: await constant('partial/fetch/range-window.ts', 'LEAST_SIZE'),
  step: await constant('partial/fetch/range-window.ts', 'STEP'),
  growth: Math.round(((await constant('partial/fetch/range-window.ts', 'WORTHWHILE_GROWTH')) - 1) * 100),
  ready: await constant('partial/fetch/range-window.ts', 'READY_ENOUGH'),
  fast: ((await constant('partial/fetch/range-window.ts', 'FAST_CONNECTION')) * 1000) / 1e6,
};
const light = await mib('copy/copy-blob.ts', 'LIGHT_BLOB');
const lightShare = inWords(await constant('copy/copy-blob.ts', 'LIGHT_WEIGHT'));
const rangedMib = await mib('partial/plan/plan-blob.ts', 'MIN_RANGED_BLOB');
const segmentMib = await mib('partial/fetch/fetch-ranges.ts', 'SEGMENT_BYTES');
const leastChunkKib = await kib('transports/registry/upload/upload-limits.ts', 'LEAST_CHUNK');
const waits = await constant('retry/attempts.ts', 'MAX_WAITS');
const uploadDays = await days('cache/upload-state.ts', 'LIFETIME_MS');

/** What the pages have to say, in these words, as long as the source says it. White space counts as one space. */
const said: Readonly<Record<string, readonly string[]>> = {
  'docs/architecture.md': [
    `| \`--jobs\`, ${jobs}; a blob under ${light} MiB counts ${lightShare}`,
    `| ${gate.first}; while requests wait, each clean answer adds one, up to ${gate.most}; 429 and 503 halve it, then ${gate.clean} clean answers add one`,
    `bodies over ${await mib('http/send/gate.ts', 'SHORT_BODY')} MiB, leave their place`,
    `in pieces of ${inWords(1 / (await constant('http/send/rate-limit.ts', 'PIECES_A_SECOND')))} of a second`,
    `${connections} and two a job: ${connections + 2 * jobs}, HTTP/1.1, kept ${await seconds('http/send/undici-send.ts', 'KEEP_ALIVE_MS')} s`,
    `first answer takes more than ${await constant('http/connect/connector.ts', 'FAR_MS')} ms, ${await field('http/connect/connector.ts', 'OPENED_AHEAD', 'source')} more to a source and ${await field('http/connect/connector.ts', 'OPENED_AHEAD', 'destination')} to a destination`,
    `| ${await mib('library/shared-resources.ts', 'MEMORY_BUDGET')} MiB: prefetched blobs, ranges and stripes read ahead (${segmentMib} MiB each)`,
    `${inWords(await constant('partial/toc/budgeted-accessor.ts', 'WEIGHT'))} times their size, or ${await constant('partial/toc/budgeted-accessor.ts', 'PIECE_BYTES')} bytes a piece`,
    `${window.first} to ${window.most}, in steps of ${window.step}: more while throughput grows by ${window.growth} %, else back; down to ${window.least} while more than ${window.ready} are ready`,
    `${window.fast} MB/s over one connection, or a near source (${await constant('partial/fetch/source-pace.ts', 'BUSY_NEAR_MS')} ms)`,
    `a range of ${await mib('partial/fetch/fetch-ranges.ts', 'STRIPED_RANGE')} MiB and more`,
    `| ${await constant('partial/fetch/fetch-ranges.ts', 'FEWEST_STRIPES')} to ${await constant('partial/fetch/fetch-ranges.ts', 'MOST_STRIPES')}, each of ${await mib('partial/fetch/striped-request.ts', 'LEAST_STRIPE')} to ${await mib('partial/fetch/striped-request.ts', 'LARGEST_STRIPE')} MiB`,
    `${await kib('io/memory.ts', 'SPARE_BYTES')} KiB beside the budget`,
    `prefetch (to ${await mib('copy/prefetch.ts', 'PREFETCHED_BLOB')} MiB into memory`,
    `from ${rangedMib} MiB on`,
    `its size at ${await constant('http/send/collect.ts', 'SLOWEST')} KB/s`,
    `its body gets ${inWords(await seconds('http/send/body.ts', 'SPARE_MS'))} seconds and ${await kib('http/send/body.ts', 'REFUSAL_LIMIT')} KiB`,
    `read again after ${await seconds('transports/registry/referrers-tags.ts', 'LEAST_SETTLE_MS')} s or ${inWords(await constant('transports/registry/referrers-tags.ts', 'OTHERS_ARE_SLOWER'))} times`,
    `and written again, up to ${inWords(await constant('transports/registry/referrers-tags.ts', 'MAX_WRITES'))} times`,
    `places ${await days('cache/sqlite-cache.ts', 'LOCATION_LIFETIME_MS')} days, abilities ${await days('cache/sqlite-cache.ts', 'ABILITY_LIFETIME_MS')} days`,
    `${grouped(await constant('cache/sqlite-cache.ts', 'MAX_ROWS'))} rows a table`,
    `| ${uploadDays} days |`,
    `so it is ${await constant('cache/database-file.ts', 'BUSY_TIMEOUT_MS')} ms at most`,
    `Manifest ${await mib('manifest/parse-manifest.ts', 'MAX_MANIFEST_BYTES')} MiB, config ${await mib('copy/config-platform.ts', 'MAX_CONFIG_BYTES')} MiB (where it is parsed), token answer ${await mib('auth/token.ts', 'MAX_ANSWER_BYTES')} MiB, error body ${await kib('http/send/body.ts', 'REFUSAL_LIMIT')} KiB, page of tags ${await mib('transports/registry/read/tag-list.ts', 'MAX_PAGE_BYTES')} MiB, page of referrers ${await mib('transports/registry/client.ts', 'MAX_PAGE_BYTES')} MiB`,
    `table of contents ${await mib('partial/toc/tail.ts', 'MAX_TOC_BYTES')} MiB compressed, ${await mib('partial/toc/toc.ts', 'MAX_TOC_TEXT_BYTES')} MiB of text and ${grouped(await constant('partial/toc/toc.ts', 'MAX_ENTRIES'))} entries`,
    `index nesting ${await constant('manifest/manifest.ts', 'MAX_INDEX_DEPTH')}`,
    `at most ${grouped(await constant('copy/manifest-reader.ts', 'MAX_MANIFESTS'))} manifests, of ${await mib('copy/manifest-reader.ts', 'MAX_TOTAL_BYTES')} MiB together`,
  ],
  'docs/library.md': [
    `one below ${light} MiB counts ${lightShare} | ${jobs} |`,
    `| ${retries}, ${delayMs} |`,
    `counts as stalled | ${idleSeconds * 1000} |`,
  ],
  'docs/cli.md': [
    `| ${jobs} | \`IMGCOPY_JOBS\``,
    `| ${retries} | \`IMGCOPY_RETRY_TIMES\``,
    `| ${delayMs}ms | \`IMGCOPY_RETRY_DELAY\``,
    `| ${idleSeconds}s | \`IMGCOPY_TIMEOUT\``,
  ],
  'docs/transports.md': [
    `\`--timeout\`, ${idleSeconds} s`,
    `Layers from ${rangedMib} MiB on`,
    `with ${window.first} to ${window.most} of ${segmentMib} MiB in flight`,
    `throughput grows by ${window.growth} %`,
    `a single connection moves ${window.fast} MB/s`,
    `Up to ${await mib('transports/registry/registry-destination.ts', 'SMALL_BLOB')} MiB: one PUT`,
    `several PATCHes of ${await mib('transports/registry/upload/upload-limits.ts', 'FIRST_CHUNK')} MiB, halved down to ${leastChunkKib} KiB`,
    `It may take ${await seconds('transports/registry/upload/upload-session.ts', 'DEFAULT_COMMIT_MS')} s, or a second for each ${(await constant('transports/registry/upload/upload-session.ts', 'SLOWEST_COMMIT')) / 1e6} MB`,
    `Uploads of blobs of ${await mib('transports/registry/upload/noted-uploads.ts', 'MIN_NOTED_BYTES')} MiB and more`,
    `for ${inWords(uploadDays)} days`,
    `| \`--retry-times\`, ${retries}: after ${delayMs / 1000} s (\`--retry-delay\`), doubled each time up to ${maxDelayMs / 1000} s`,
    `up to ${waits} times, and these cost no retries; \`Retry-After\` in seconds or as a date is obeyed up to ${(await seconds('retry/attempts.ts', 'MAX_WAIT_MS')) / 60} minutes`,
    `${retries} times without ${await mib('retry/attempts.ts', 'PROGRESS')} MiB of progress`,
    `begin at ${gate.first}, and grow to ${gate.most}`,
    `${gate.clean} clean answers allow one more`,
    `parts below ${await mib('local/blob-store.ts', 'MIN_KEPT_BYTES')} MiB are not kept`,
  ],
  'docs/registries.md': [`${await seconds('transports/registry/hasten.ts', 'HASTY_IDLE_MS')} seconds without a byte`],
  'docs/errors.md': [
    `still 429 after ${inWords(waits)} waits`,
    `no connection within ${await seconds('http/send/undici-send.ts', 'CONNECT_TIMEOUT_MS')} s`,
    `413 even for ${leastChunkKib} KiB`,
  ],
};

for (const [page, phrases] of Object.entries(said)) {
  test(`${page} has the numbers of the source`, async () => {
    const text = (await read(page)).replaceAll(/\s+/g, ' ');
    assert.deepEqual(
      phrases.filter((phrase) => !text.includes(phrase)),
      [],
    );
  });
}

/** What a path may be relative to, so that pages need not repeat it. */
const FOLDERS = ['', 'src/', 'src/transports/registry/'];

function isThere(path: string): Promise<boolean> {
  return access(new URL(path, root)).then(
    () => true,
    () => false,
  );
}

test('the files that the pages name are there', async () => {
  const pages = ['CONTRIBUTING.md', 'README.md'];
  for await (const page of glob('docs/*.md', { cwd: root })) pages.push(page);
  const missing: string[] = [];
  for (const page of pages) {
    for (const [, path = ''] of (await read(page)).matchAll(/`((?:[a-z0-9-]+\/)+[a-z0-9.-]+\.(?:ts|js|sh))`/g)) {
      const found = await Promise.all(FOLDERS.map((folder) => isThere(folder + path)));
      if (!found.includes(true)) missing.push(`${page}: ${path}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('README, docs/transports.md and docs/library.md have each transport of the table', async () => {
  const [readme, page, library] = await Promise.all(['README.md', 'docs/transports.md', 'docs/library.md'].map(read));
  const missing = transports.flatMap(({ prefix, form }) => [
    ...(readme?.includes(`| \`${form}\``) ? [] : [`README.md: ${form}`]),
    ...(page?.includes(`| \`${prefix}\` |`) ? [] : [`docs/transports.md: ${prefix}`]),
    ...(library?.includes(`\`${prefix}\``) ? [] : [`docs/library.md: ${prefix}`]),
  ]);
  assert.deepEqual(missing, []);
});

/** The pages that say what who writes a transport has to know, and the interfaces that they are about. */
const CONTRACTS = [
  ['CONTRIBUTING.md', 'src/transports/transport.ts', 'Transport'],
  ['CONTRIBUTING.md', 'src/transports/transport.ts', 'ImageName'],
  ['docs/library.md', 'src/contract/image-source.ts', 'ImageSource'],
  ['docs/library.md', 'src/contract/image-destination.ts', 'ImageDestination'],
] as const;

for (const [page, path, name] of CONTRACTS) {
  test(`${page} has each member of ${name}`, async () => {
    const body = new RegExp(`^export interface ${name} .*?^}`, 'ms').exec(await read(path))?.[0] ?? '';
    const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[(:]/gm)].map(([, member = '']) => member);
    const text = await read(page);
    const missing = members.filter((member) => !new RegExp(`\`${member}\\b`).test(text));
    assert.ok(members.length > 3);
    assert.deepEqual(missing, []);
  });
}
