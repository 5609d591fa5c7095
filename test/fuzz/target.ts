import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';

/** A parser, and what is thrown at it. */
export interface FuzzTarget {
  readonly name: string;
  /** Parses many inputs. @throws with the smallest input that was found to be too much for the parser. */
  readonly run: (options: FuzzOptions) => Promise<void>;
}

export interface FuzzOptions {
  /** The same seed gives the same inputs. */
  readonly seed: number;
  /** How many inputs at most. */
  readonly cases: number;
  /** How long at most, in ms. */
  readonly timeMs: number;
  /** Called after each input that was no trouble. */
  readonly onCase: () => void;
}

/** @param check  parses an input. It may throw an ImgcopyError where it uses `parsed`; anything else that it throws is a fault of the parser. */
export function target<Input>(
  name: string,
  inputs: fc.Arbitrary<Input>,
  check: (input: Input) => void | Promise<void>,
): FuzzTarget {
  return {
    name,
    async run({ seed, cases, timeMs, onCase }) {
      const property = fc.asyncProperty(inputs, async (input) => {
        await check(input);
        onCase();
      });
      await fc.assert(property, { seed, numRuns: cases, interruptAfterTimeLimit: timeMs });
    },
  };
}

/** What a parser makes of an input; undefined where it refuses it. */
export function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    assertRefusal(error);
    return undefined;
  }
}

/** Asserts that an error is one that a user may be told of. */
export function assertRefusal(error: unknown): asserts error is ImgcopyError {
  if (!(error instanceof ImgcopyError)) throw error;
  assert.match(error.code, /^ERR_[A-Z0-9_]+$/);
  assert.ok(error.message.length < 10_000, `a message of ${error.message.length} characters`);
}
