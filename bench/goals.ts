import type { Measurement } from './measure.ts';

/** What one run of one tool took; bytes are counted where a slow link was in the way. */
export interface Run extends Measurement {
  readonly fromSourceBytes?: number | undefined;
  readonly toDestinationBytes?: number | undefined;
}

/** The medians of a tool's runs, by the tool's name. */
export type Medians = Readonly<Record<string, Run>>;

export interface Verdict {
  readonly reached: string;
  readonly wanted: string;
  readonly met: boolean;
}

/** Judges the medians of a case. Undefined where what it compares was not measured. */
export type Goal = (medians: Medians) => Verdict | undefined;

/** At least so many times as fast as the fastest peer. */
export function fasterThanPeers(times: number): Goal {
  return (medians) => {
    const peer = fastestPeer(medians);
    const ours = medians['imgcopy'];
    if (peer === undefined || ours === undefined) return undefined;
    const ratio = peer.seconds / ours.seconds;
    return { reached: `${ratio.toFixed(2)}x ${peer.name}`, wanted: `at least ${times}x`, met: ratio >= times };
  };
}

/** At most so many times the fastest peer's time. */
export function withinPeers(times: number): Goal {
  return (medians) => {
    const peer = fastestPeer(medians);
    const ours = medians['imgcopy'];
    if (peer === undefined || ours === undefined) return undefined;
    const ratio = ours.seconds / peer.seconds;
    return { reached: `${ratio.toFixed(2)} of ${peer.name}`, wanted: `at most ${times}`, met: ratio <= times };
  };
}

/** At most so much longer than Node.js takes to do nothing. */
export function overBareNode(milliseconds: number): Goal {
  return (medians) => {
    const ours = medians['imgcopy'];
    const bare = medians['node'];
    if (ours === undefined || bare === undefined) return undefined;
    const over = (ours.seconds - bare.seconds) * 1000;
    return {
      reached: `${over.toFixed(0)} ms over node`,
      wanted: `at most ${milliseconds} ms`,
      met: over <= milliseconds,
    };
  };
}

/** Brings at most so many times the bytes of the perfect plan from the source, HTTP headers included. */
export function nearPerfectPlan(times: number, perfectBytes: number): Goal {
  return (medians) => {
    const bytes = medians['imgcopy']?.fromSourceBytes;
    if (bytes === undefined) return undefined;
    const ratio = bytes / perfectBytes;
    return { reached: `${ratio.toFixed(3)} of the perfect plan`, wanted: `at most ${times}`, met: ratio <= times };
  };
}

/** Is never larger in memory than that, in megabytes of a million bytes. */
export function peakMemory(megabytes: number): Goal {
  return (medians) => {
    const peak = medians['imgcopy']?.peakBytes;
    if (peak === undefined) return undefined;
    return {
      reached: `${(peak / 1e6).toFixed(0)} MB`,
      wanted: `at most ${megabytes} MB`,
      met: peak <= megabytes * 1e6,
    };
  };
}

function fastestPeer(medians: Medians): { readonly name: string; readonly seconds: number } | undefined {
  const peers = Object.entries(medians).filter(([name]) => name !== 'imgcopy' && name !== 'node');
  return peers.map(([name, { seconds }]) => ({ name, seconds })).toSorted((a, b) => a.seconds - b.seconds)[0];
}
