import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createProgram } from '../src/cli/program.ts';
import { cliDocs } from './cli-docs.ts';
import { manPage } from './man-page.ts';

// Usage: generate-cli-docs.ts [--check]
//
// Writes docs/cli.md and man/imgcopy.1 from the definition of the command line; with --check, fails where they would be others.

const program = createProgram(new AbortController().signal);
const changelog = await readFile(new URL('../CHANGELOG.md', import.meta.url), 'utf8');
const files = { 'docs/cli.md': await cliDocs(program), 'man/imgcopy.1': manPage(program, changelog) };

for (const [name, fresh] of Object.entries(files)) {
  const file = fileURLToPath(new URL(`../${name}`, import.meta.url));
  if (process.argv.includes('--check')) {
    const current = await readFile(file, 'utf8').catch(() => '');
    if (current !== fresh) {
      process.stderr.write(`${name} is not what the command line is: run \`npm run docs\`\n`);
      process.exitCode = 1;
    }
  } else {
    await mkdir(new URL('./', new URL(`../${name}`, import.meta.url)), { recursive: true });
    await writeFile(file, fresh);
  }
}
