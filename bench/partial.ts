import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { partialCases, type PartialCase } from './partial-cases.ts';
import { openStage, type Stage } from './partial-stage.ts';
import { largestMemory, mostRequests, reportOf, type NamedRun } from './partial-summary.ts';
import { describeMachine, formatRun, toMarkdown, type CaseReport } from './report.ts';

const usage = `npm run bench:partial -- [options]
  --case NAME    only this case (repeat for more); ${partialCases.map(({ name }) => name).join(', ')}
  --no-fail      end with 0 although a bound is missed
`;

const workFolder = fileURLToPath(new URL('.work', import.meta.url));
const mostLayerRequests = 3;
const mostMegabytes = 160;

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      'no-fail': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const started = performance.now();
  const reports = await runCases(chosen(values.case));
  const seconds = Math.round((performance.now() - started) / 1000);

  await mkdir(workFolder, { recursive: true });
  const report = { machine: describeMachine(), seconds, cases: reports };
  await writeFile(join(workFolder, 'partial.json'), JSON.stringify(report, null, 2));
  process.stdout.write(toMarkdown(reports));
  if (!values['no-fail'] && reports.some(({ verdict }) => verdict?.met !== true)) process.exitCode = 1;
}

function chosen(names: readonly string[] | undefined): readonly PartialCase[] {
  const unknown = names?.find((name) => partialCases.every((one) => one.name !== name));
  if (unknown !== undefined) throw new Error(`there is no case ${unknown}\n${usage}`);
  return partialCases.filter(({ name }) => names?.includes(name) ?? true);
}

/** Runs the cases one after the other, each on all stages, and sums up what they have in common. */
async function runCases(cases: readonly PartialCase[]): Promise<readonly CaseReport[]> {
  await using undo = new AsyncDisposableStack();
  const stages: Stage[] = [];
  for (const kind of ['2.8', '3'] as const) stages.push(undo.use(await openStage(kind)));

  const reports: CaseReport[] = [];
  const ofChunked: NamedRun[] = [];
  const ofImgcopy: NamedRun[] = [];
  for (const one of cases) {
    const runs: NamedRun[] = [];
    reports.push(await runCase(one, stages, runs));
    if (one.isChunked) ofChunked.push(...runs);
    ofImgcopy.push(...runs.filter(([name]) => name.startsWith('imgcopy')));
  }
  const summaries = [mostRequests(ofChunked, mostLayerRequests), largestMemory(ofImgcopy, mostMegabytes)];
  return [...reports, ...summaries.filter((summary) => summary !== undefined)];
}

/** A case that fails has missed its bound; the others can still be measured. @param runs  takes the runs, as they end. */
async function runCase(one: PartialCase, stages: readonly Stage[], runs: NamedRun[]): Promise<CaseReport> {
  const { title, wanted } = one;
  say(`${title} (${one.name})`);
  try {
    const judged = await one.run(stages, (name, run) => {
      runs.push([name, run]);
      say(`  ${formatRun(name, run)}`);
    });
    return reportOf(one, runs, { ...judged, wanted });
  } catch (error) {
    say(`  ${String(error)}`);
    return reportOf(one, runs, { reached: String(error).split('\n')[0] ?? '', wanted, met: false });
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
