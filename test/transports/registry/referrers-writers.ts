import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'node:test';
import { buildArtifact, buildImage, type TestImage } from '../../support/images.ts';
import type { TestRegistry } from '../../support/registry.ts';

export function subjectOf(number: number): TestImage {
  return buildImage({ layers: [], annotations: { number: String(number) } });
}

/** What one writer adds to one subject. */
export function referrerOf(subject: number, writer: string): TestImage {
  return buildArtifact({ files: { [writer]: writer }, subject: subjectOf(subject).manifest });
}

/** Has processes, each with a name, add to the same subjects at the same time, and waits until they ended. @throws where one fails. */
export async function writeByProcesses(
  t: TestContext,
  registry: TestRegistry,
  writers: readonly string[],
  subjects: readonly number[],
): Promise<void> {
  const program = fileURLToPath(new URL('referrers-writer.ts', import.meta.url));
  const children = writers.map((writer): ChildProcess => {
    const child = fork(program, [registry.host, writer]);
    t.after(() => child.kill('SIGKILL'));
    return child;
  });
  await Promise.all(children.map((child) => once(child, 'message')));
  const ended = children.map(async (child) => {
    const [status] = (await once(child, 'exit')) as [number | null];
    if (status !== 0) throw new Error(`a writer ended with status ${status}`);
  });
  for (const child of children) child.send(subjects);
  await Promise.all(ended);
}
