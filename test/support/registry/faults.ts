import { matches, type RequestMatch, type RequestRecord } from './request-log.ts';

/** How a body ends before it is whole. */
export type CutKind =
  /** The connection is reset (RST). */
  | 'reset'
  /** The connection is closed (FIN), short of the Content-Length. */
  | 'close'
  /** A chunked body that ends as if it were whole. */
  | 'end'
  /** Neither Content-Length nor chunks: the body ends with the connection. */
  | 'end-at-close'
  /** Content-Length names the short length. */
  | 'short-length';

/** What a rule does to a request. Several actions in one rule go together. */
export interface Actions {
  /** The answer starts this much later. */
  readonly latencyMs?: number;
  /** The request is carried out only after this settles. Its body is not read until then. */
  readonly hold?: Promise<unknown>;
  /** Called before the request is carried out. */
  readonly call?: (request: RequestRecord) => void | Promise<void>;

  /** Answers with this status and does nothing else. */
  readonly status?: number;
  /** Headers of that answer; without `status`, of the answer as it would be. Undefined takes one away. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
  /** With `status`: the answer comes after so many bytes of the request's body; Infinity: after all of it. Default 0. */
  readonly afterRequestBytes?: number;
  /** Never answers; the request's body is read to its end. */
  readonly stall?: true;

  /** Resets the connection when so many bytes of the request's body have come; those count as received. */
  readonly resetAfterRequestBytes?: number;
  /** Stops reading the request's body after so many bytes, for good; the request counts as aborted at once. */
  readonly stallAfterRequestBytes?: number;

  /** Ends the answer's body after so many bytes, by `how` (default `reset`). A shorter body passes unharmed. */
  readonly cutAfterBytes?: number;
  readonly how?: CutKind;
  /** Sends so many bytes of the answer's body, then nothing until the connection closes, or `until` settles. */
  readonly stallAfterBytes?: number;
  readonly until?: Promise<unknown>;
  /** Sends the answer's body a byte at a time, one every so many ms. */
  readonly dripMs?: number;
  /** The answer's body, of unknown length, never ends: its bytes come again and again. */
  readonly endless?: true;
  /** Compresses the answer's body, whatever was asked for; its length is not announced. */
  readonly encoding?: 'gzip' | 'deflate' | 'br' | 'zstd';
  /** Flips one byte in the middle of every piece of a blob or manifest that is sent. */
  readonly wrongBytes?: true;
  /** Rewrites the Content-Range of a single-range answer. */
  readonly contentRange?: (header: string) => string;
  /** Carries the request out, but the answer is lost: the connection is reset, or nothing comes. */
  readonly loseAnswer?: 'reset' | 'stall';
}

export interface RuleMatch extends RequestMatch {
  /** The first so many matching requests are spared. Default 0. */
  readonly after?: number;
  /** How many requests the rule is applied to. Default: all. */
  readonly times?: number;
}

export interface Rule extends Actions {
  readonly match?: RuleMatch;
}

interface RuleState {
  readonly rule: Rule;
  seen: number;
  applied: number;
}

/**
 * The rules of a registry. Rules that only wait or call all apply; of the others a request meets the first that is not used up, so
 * that rules in a row make a script.
 */
export class FaultRules {
  #states: RuleState[] = [];

  /** @returns a function that takes the rule back. */
  add(rule: Rule): () => void {
    const state = { rule, seen: 0, applied: 0 };
    this.#states.push(state);
    return () => {
      this.#states = this.#states.filter((other) => other !== state);
    };
  }

  clear(): void {
    this.#states = [];
  }

  /** What the rules want done to a request, in their order; counts it. */
  meet(request: RequestRecord): readonly Actions[] {
    const chosen: Actions[] = [];
    let isTaken = false;
    for (const state of this.#states) {
      const { match = {}, ...actions } = state.rule;
      if (!matches(request, match)) continue;
      state.seen += 1;
      if (state.seen <= (match.after ?? 0) || state.applied >= (match.times ?? Infinity)) continue;
      if (!onlyWaits(actions)) {
        if (isTaken) continue;
        isTaken = true;
      }
      state.applied += 1;
      chosen.push(actions);
    }
    return chosen;
  }
}

function onlyWaits(actions: Actions): boolean {
  return Object.keys(actions).every((name) => name === 'latencyMs' || name === 'hold' || name === 'call');
}

/** Thrown inside the registry to leave a request whose connection is gone. */
export class ConnectionGone extends Error {}
