import { join } from 'node:path';
import { measure, type Measurement } from './measure.ts';
import { runCopy } from './partial-copy.ts';
import type { PartialRun } from './partial-run.ts';
import { checkArrived, makeHome, pushLargeLayer, type PushedImage, type Stage, type Target } from './partial-stage.ts';
import { spawnSlowLink } from './slow-link-process.ts';
import type { SlowLink } from './slow-link.ts';

export interface LongLineRuns {
  /** The layer alone, in one answer, to nowhere. */
  readonly oneConnection: Measurement;
  readonly copies: Readonly<Record<Target, PartialRun>>;
}

const layerBytes = 256e6;
const longLine = { roundTripMs: 80, bytesPerSecondPerConnection: 12e6 };
const timeoutMs = 2 * 60_000;
const download = 'for await (const bytes of (await fetch(process.argv[1])).body);';

/** Fetches a large layer over a slow link, by one connection, and copies its image into a directory and a near registry. */
export async function copyOverLongLine(stage: Stage): Promise<LongLineRuns> {
  const image = await pushLargeLayer(stage, 'slow-link', layerBytes);
  // Nothing else is in the way: with so many bytes a second, it would take time that is measured.
  const line = await spawnSlowLink({ target: stage.source.registry.host, ...longLine });
  try {
    const intoDirectory = await copyInto(stage, line, image, 'dir:');
    const intoRegistry = await copyInto(stage, line, image, 'registry');
    const [name] = image.path.split(':');
    const url = `http://${line.host}/v2/${name}/blobs/${image.layer.digest}`;
    const oneConnection = await measure([process.execPath, '--input-type=module', '-e', download, url], {
      env: { PATH: process.env['PATH'] },
      timeoutMs,
    });
    return { oneConnection, copies: { 'dir:': intoDirectory, registry: intoRegistry } };
  } finally {
    await line.close();
  }
}

async function copyInto(stage: Stage, line: SlowLink, image: PushedImage, target: Target): Promise<PartialRun> {
  const destination =
    target === 'dir:'
      ? { folder: join(stage.folder, 'slow-link') }
      : { registry: `${stage.destination.registry.host}/slow-link:app` };
  const sentBefore = (await line.traffic()).down;
  const job = { source: `${line.host}/${image.path}`, destination };
  const copy = await runCopy({ job, home: await makeHome(stage) });
  const sent = (await line.traffic()).down;
  await checkArrived(stage, destination, image);
  const { seconds, cpuSeconds, peakBytes, result } = copy;
  return {
    seconds,
    cpuSeconds,
    peakBytes,
    layerBytes: image.layer.size,
    fetchedBytes: result.bytes.fetched - image.config.size,
    fromSourceBytes: sent - sentBefore,
    requests: result.requests.source + result.requests.destination,
  };
}
