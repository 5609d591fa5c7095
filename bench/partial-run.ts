import type { Run } from './goals.ts';
import type { Measurement } from './measure.ts';
import type { FinishedCopy } from './partial-copy.ts';
import type { CountingProxy } from './partial-proxy.ts';
import type { PushedImage, Stage } from './partial-stage.ts';

/** A copy that was measured, and what of it went over the network. Bytes are those of bodies. */
export interface PartialRun extends Run {
  /** Of the layer that it is about. */
  readonly layerBytes: number;
  /** Of that layer, by the copy's own count; undefined when it was killed. */
  readonly fetchedBytes: number | undefined;
  /**
   * Of that layer, by the count of who stood before the source. What frames the parts of an answer is in it; over the slow link, all else that
   * the source sent is as well.
   */
  readonly fromSourceBytes: number;
  /** To the source for that layer, where they were counted. */
  readonly layerRequests?: number;
  /** To both sides, for the whole image. */
  readonly requests: number;
}

/** Begins to count anew. */
export function resetCounts({ source, destination }: Stage): void {
  source.proxy.reset();
  destination.proxy.reset();
}

/** What the stage has counted since then, for a copy of that image. */
export function countedRun(stage: Stage, image: PushedImage, copy: Measurement | FinishedCopy): PartialRun {
  const { seconds, cpuSeconds, peakBytes } = copy;
  const fromSource = stage.source.proxy.requests;
  const isConfigNew = fromSource.some(({ path }) => path.includes(image.config.digest));
  const ofLayer = fromSource.filter(({ path }) => path.includes(image.layer.digest));
  return {
    seconds,
    cpuSeconds,
    peakBytes,
    layerBytes: image.layer.size,
    fetchedBytes: 'result' in copy ? copy.result.bytes.fetched - (isConfigNew ? image.config.size : 0) : undefined,
    fromSourceBytes: ofLayer.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
    toDestinationBytes: receivedBytesOf(stage.destination.proxy),
    layerRequests: ofLayer.length,
    requests: fromSource.length + stage.destination.proxy.requests.length,
  };
}

/** The bytes that a registry was sent. */
export function receivedBytesOf({ requests }: CountingProxy): number {
  return requests.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
}

/** The share of its layer that came from the source: the larger of both counts. */
export function shareFromSource({ layerBytes, fetchedBytes = 0, fromSourceBytes }: PartialRun): number {
  return Math.max(fetchedBytes, fromSourceBytes) / layerBytes;
}
