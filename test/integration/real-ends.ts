import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { digestOf, type Digest } from '../../src/digest/digest.ts';
import { copyImage, type CopierOptions, type CopyOptions, type CopyResult } from '../../src/index.ts';
import { startDistribution2, startDistribution3, type RealRegistry } from '../support/real-registries.ts';
import { runTool } from '../support/real-tools.ts';

/** A kind of real registry. Where it is not installed, `start` skips the test, or fails it where real ones are required. */
export interface RealKind {
  readonly name: string;
  readonly start: (t: TestContext) => Promise<RealRegistry | undefined>;
}

const kind2: RealKind = { name: 'distribution 2.8', start: startDistribution2 };
const kind3: RealKind = { name: 'distribution 3', start: startDistribution3 };

export const realKinds: readonly RealKind[] = [kind2, kind3];

/** Each kind as a source, and each as a destination. */
export const realPairs: readonly { readonly from: RealKind; readonly to: RealKind }[] = [
  { from: kind2, to: kind3 },
  { from: kind3, to: kind2 },
];

export function referenceAt(registry: Pick<RealRegistry, 'host'>, name: string): string {
  return `docker://${registry.host}/${name}`;
}

/** Copies as the command line would for a user who never ran it. @param folder  takes what it remembers. */
export async function copyAfresh(
  source: string,
  destination: string,
  folder: string,
  options: CopyOptions & CopierOptions = {},
): Promise<CopyResult> {
  const env = { XDG_CACHE_HOME: join(folder, 'cache'), XDG_STATE_HOME: join(folder, 'state') };
  return await copyImage(source, destination, { env, cache: false, ...options });
}

/** The manifest under a reference, as skopeo reads it. */
export async function rawManifest(skopeo: string, reference: string): Promise<{ text: string; digest: Digest }> {
  const insecure = reference.startsWith('docker:') ? ['--tls-verify=false'] : [];
  const { stdout } = await runTool(skopeo, ['inspect', '--raw', ...insecure, reference]);
  return { text: stdout, digest: digestOf(Buffer.from(stdout)) };
}

/** The digest under a reference `docker://…`, as crane gets it. */
export async function craneDigest(crane: string, reference: string): Promise<string> {
  const { stdout } = await runTool(crane, ['digest', '--insecure', reference.replace('docker://', '')]);
  return stdout.trim();
}

/** Has skopeo copy an image with all its instances, which reads and verifies every blob. */
export async function copyBySkopeo(skopeo: string, source: string, destination: string): Promise<void> {
  const way = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  await runTool(skopeo, ['copy', '--all', '--preserve-digests', '--insecure-policy', ...way, source, destination]);
}
