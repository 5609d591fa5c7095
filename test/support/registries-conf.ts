import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** A file of this machine's configuration, until the end of the test, and the variable that names it. */
export async function writeRegistriesConf(
  t: TestContext,
  text: string,
): Promise<{ readonly file: string; readonly env: Readonly<Record<string, string>> }> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-registries-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, 'registries.conf');
  await writeFile(file, text);
  return { file, env: { CONTAINERS_REGISTRIES_CONF: file } };
}

/** A `[[registry]]` table: where images of `prefix` are, and their mirrors in order; each may have further lines after a line feed. */
export function registryTable(prefix: string, location: string, mirrors: readonly string[] = []): string {
  const place = (text: string): string => {
    const [at = '', ...lines] = text.split('\n');
    return [`location = "${at}"`, ...lines].join('\n');
  };
  const own = `[[registry]]\nprefix = "${prefix}"\n${place(location)}\n`;
  return own + mirrors.map((mirror) => `[[registry.mirror]]\n${place(mirror)}\n`).join('');
}
