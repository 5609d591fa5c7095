import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';

/** Writes files into a folder that goes away with the test. @returns the folder. */
export async function writeCertificates(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-certificates-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** Writes one authority into a file. @returns its path. */
export async function writeAuthority(t: TestContext, certificate: string): Promise<string> {
  return join(await writeCertificates(t, { 'ca.pem': certificate }), 'ca.pem');
}
