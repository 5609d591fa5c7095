import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

/** The path of an installed tool (`skopeo`, `crane`, `squid`, …), looked for on PATH, in ~/go/bin and /usr/sbin; undefined where there is none. */
export function realTool(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), join(homedir(), 'go', 'bin'), '/usr/sbin'];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/**
 * The path of a tool that a test needs. Where it is missing the test is skipped and undefined comes back, to be met with a return.
 * @throws where it is missing and IMGCOPY_REQUIRE_REAL=1, as in CI.
 */
export function requireTool(t: TestContext, name: string): string | undefined {
  const path = realTool(name);
  if (path !== undefined) return path;
  if (process.env['IMGCOPY_REQUIRE_REAL'] === '1')
    throw new Error(`${name} is required by IMGCOPY_REQUIRE_REAL=1, and not installed`);
  t.skip(`${name} is not installed`);
  return undefined;
}

/** Runs a tool to its end. @throws with its output when it fails. */
export async function runTool(
  path: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<{ stdout: string; stderr: string }> {
  const { env = {}, cwd } = options;
  return await promisify(execFile)(path, [...args], {
    env: { ...process.env, ...env },
    cwd,
    maxBuffer: 64 * 1024 * 1024,
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
