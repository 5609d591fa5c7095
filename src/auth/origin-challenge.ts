import type { Side } from '../errors/imgcopy-error.ts';
import type { HttpResponse } from '../http/send/send.ts';
import { type Challenge, isSupported, parseChallenges, type SupportedChallenge } from './challenge.ts';
import { orAborted } from '../io/or-aborted.ts';

/**
 * What an origin asks of its clients. The first request's answer tells, without a ping before it; requests of the same side made meanwhile wait for
 * that answer, lest each of them be refused once. In a copy inside one registry, source and destination do not wait for each other.
 */
export class OriginChallenge {
  #challenges: readonly SupportedChallenge[] = [];
  #isAnswered = false;
  #isOpen = false;
  #ping: Promise<readonly Challenge[]> | undefined;
  #hasUnsupported = false;
  readonly #first = new Map<Side, Promise<void>>();

  /** The challenges to choose from. Empty when they are not known yet, or when the origin asks for nothing that imgcopy supports. */
  get challenges(): readonly SupportedChallenge[] {
    return this.#challenges;
  }

  /** Whether a request without credentials has succeeded: a later refusal is no reason to look for a challenge. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Notes that a request without credentials has succeeded. */
  open(): void {
    this.#isAnswered = true;
    this.#isOpen = true;
  }

  /**
   * Waits, once, while another request of this side is the first.
   * @returns to be called when the answer was looked at, or there will be none.
   */
  async enter(side: Side, signal: AbortSignal | undefined): Promise<() => void> {
    if (this.#isAnswered) return () => undefined;
    const first = this.#first.get(side);
    if (first !== undefined) {
      await orAborted(first, signal);
      return () => undefined;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#first.set(side, promise);
    return () => {
      this.#first.delete(side);
      resolve();
    };
  }

  /**
   * Takes the challenges of an answer, unless some are known already.
   * @param isRefused  whether credentials may be what the request lacks.
   * @param ping  asks the origin's root; called where a refusal comes without a challenge, once.
   * @returns the schemes offered when none of them is supported: the first time only.
   */
  async learn(
    response: HttpResponse,
    { isRefused, ping }: { readonly isRefused: boolean; readonly ping: () => Promise<readonly Challenge[]> },
  ): Promise<readonly string[]> {
    const isNews = isRefused && this.#challenges.length === 0;
    const offered = isNews ? await this.#offered(response, ping) : [];
    this.#isAnswered = true;
    if (this.#challenges.length === 0) this.#challenges = offered.filter(isSupported);
    if (this.#challenges.length > 0 || offered.length === 0 || this.#hasUnsupported) return [];
    this.#hasUnsupported = true;
    return offered.map(({ scheme }) => scheme);
  }

  async #offered(response: HttpResponse, ping: () => Promise<readonly Challenge[]>): Promise<readonly Challenge[]> {
    const offered = parseChallenges(response.headers['www-authenticate']);
    // GCR refuses some requests without a challenge. https://github.com/regclient/regclient/issues/149
    if (offered.length > 0) return offered;
    // Source and destination may be refused at the same time. The ping of one ends with its copy.
    const others = this.#ping;
    this.#ping ??= ping();
    return others === undefined ? this.#ping : others.catch(ping);
  }
}
