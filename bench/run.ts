import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { benchCases, type BenchCase } from './cases.ts';
import { imgcopy, installedPeers, type CopyTool } from './peers.ts';
import { describeMachine, formatRun, toMarkdown, type CaseReport } from './report.ts';
import { runCase } from './run-case.ts';

const usage = `npm run bench -- [options]
  --case NAME    only this case (repeat for more)
  --tool NAME    only this tool (repeat for more); imgcopy, crane, regctl, oras, skopeo
  --rounds N     runs of each tool in each case (default 3, or 1 with --quick)
  --quick        one round, and the large layers at a tenth of their size
  --out FOLDER   where results.md and results.json go (default bench/.work)
`;

await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      case: { type: 'string', multiple: true },
      tool: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string', default: fileURLToPath(new URL('.work', import.meta.url)) },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  if (existsSync(new URL('../compiled', import.meta.url)))
    throw new Error('remove the folder compiled first: imgcopy cache compile made it, and no run would start cold');
  const cases = chosen(benchCases({ quick: values.quick }), values.case);
  const tools = chosen([imgcopy, ...installedPeers()], values.tool);
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));

  const reports: CaseReport[] = [];
  for (const benchCase of cases) {
    const report = await bench(benchCase, { rounds, tools });
    if (report === undefined) process.exitCode = 1;
    else reports.push(report);
  }
  await mkdir(values.out, { recursive: true });
  const markdown = toMarkdown(reports);
  await writeFile(join(values.out, 'results.md'), markdown);
  await writeFile(
    join(values.out, 'results.json'),
    JSON.stringify({ machine: describeMachine(), rounds, cases: reports }, null, 2),
  );
  process.stdout.write(markdown);
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  const unknown = names?.find((name) => all.every((one) => one.name !== name));
  if (unknown !== undefined) throw new Error(`no ${unknown} here, only ${all.map(({ name }) => name).join(', ')}`);
  return names === undefined ? all : all.filter(({ name }) => names.includes(name));
}

/** Runs a case and says how it goes. Undefined where a tool failed: the other cases can still be measured. */
async function bench(
  benchCase: BenchCase,
  options: { readonly rounds: number; readonly tools: readonly CopyTool[] },
): Promise<CaseReport | undefined> {
  say(`${benchCase.title} (${benchCase.name})`);
  try {
    const { runs, medians } = await runCase(benchCase, {
      ...options,
      onRun: (tool, run) => say(`  ${formatRun(tool, run)}`),
    });
    return { name: benchCase.name, title: benchCase.title, runs, medians, verdict: benchCase.goal?.(medians) };
  } catch (error) {
    say(`  ${String(error)}`);
    return undefined;
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
