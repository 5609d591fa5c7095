import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RangeWindow } from '../../../src/partial/fetch/range-window.ts';
import { SourcePace, type AnswerTiming } from '../../../src/partial/fetch/source-pace.ts';

const SEGMENT = 2_000_000;

/** An answer that was waited for by an event loop with nothing else to do. */
const late = (ms: number): AnswerTiming => ({ elapsedMs: ms, idleMs: ms });
/** One that a busy event loop looked at late. */
const seenLate = (ms: number): AnswerTiming => ({ elapsedMs: ms, idleMs: 1 });

/** A window over a line that is as fast, in bytes a ms, as `rateOf` says for so many requests at a time. */
class Link {
  readonly window: RangeWindow;
  readonly #rateOf: (requests: number) => number;
  #now = 0;

  constructor(rateOf: (requests: number) => number) {
    this.#rateOf = rateOf;
    this.window = new RangeWindow({ now: () => this.#now, utilization: () => 0 });
  }

  /** Moves as many segments as are asked for at a time. @returns how many are from then on. */
  moveWindow(): number {
    const { size } = this.window;
    const elapsedMs = (size * SEGMENT) / this.#rateOf(size);
    for (let request = 0; request < size; request += 1) {
      this.#now += elapsedMs / size;
      this.window.record({ bytes: SEGMENT, elapsedMs });
    }
    return this.window.size;
  }
}

test('more are asked for as long as that moves more, up to twenty', () => {
  const link = new Link((requests) => requests * 12_000);
  assert.equal(link.window.size, 8);
  assert.deepEqual([link.moveWindow(), link.moveWindow(), link.moveWindow()], [12, 16, 20]);
  for (let round = 0; round < 40; round += 1) assert.ok(link.moveWindow() <= 20);
  assert.equal(link.window.isFast, false);
});

test('fewer are asked for while the consumer finds more ready than it takes, down to four; as many as before when it waits', () => {
  const { window } = new Link((requests) => requests * 12_000);
  for (let round = 0; round < 10; round += 1) window.consume(3);
  assert.equal(window.size, 8, 'three that are ready are no surplus');
  for (let round = 0; round < 10; round += 1) window.consume(8);
  assert.equal(window.size, 4);
  window.consume(0);
  assert.equal(window.size, 8);
});

test('a step that gains less than 15 % is taken back, and another is tried later', () => {
  const link = new Link((requests) => Math.min(requests, 8.5) * 12_000);
  assert.equal(link.moveWindow(), 12);
  assert.equal(link.moveWindow(), 8);
  const sizes = Array.from({ length: 10 }, () => link.moveWindow());
  assert.deepEqual(sizes, [8, 8, 8, 8, 8, 8, 8, 8, 12, 8]);
});

test('a host that becomes slow gets fewer again', () => {
  let rate = 12_000;
  const link = new Link((requests) => requests * rate);
  assert.deepEqual([link.moveWindow(), link.moveWindow()], [12, 16]);
  rate = 1_000;
  assert.equal(link.moveWindow(), 12);
});

test('one connection that is fast by itself is found out', () => {
  const window = new RangeWindow({ now: () => 0 });
  window.record({ bytes: SEGMENT, elapsedMs: 40 });
  assert.equal(window.isFast, false);
  window.record({ bytes: SEGMENT, elapsedMs: 15 });
  assert.equal(window.isFast, true);
});

for (const [name, utilization, answerMs, gain, isFast] of [
  ['one stream will do where the source is near and the event loop busy', 0.95, 20, 3, true],
  ['one stream will do where the source is near and many connections are no faster than one', 0.5, 10, 1.2, true],
  ['many connections stay where the source is not near enough for one to be tried alone', 0.5, 30, 1, false],
  ['many connections stay where they are faster than one and the event loop has time left', 0.5, 10, 3, false],
  ['many connections stay where the source is far', 1, 80, 1, false],
] as const) {
  test(name, () => {
    let now = 0;
    const window = new RangeWindow({ now: () => now, utilization: () => utilization });
    window.answered(late(answerMs));
    const isNear = answerMs < 80;
    assert.equal(window.isOpen, isNear);
    // The first range of a near source comes alone.
    window.record({ bytes: SEGMENT, elapsedMs: (now += answerMs + 100) });
    for (let request = answerMs <= 15 ? 0 : 1; request < 8; request += 1) {
      now += 100 / gain;
      window.record({ bytes: SEGMENT, elapsedMs: 100 });
    }
    assert.deepEqual([window.isFast, window.isOpen], [isFast, false]);
  });
}

test('many blobs at a time have fewer ranges each, and never less than two', () => {
  let blobs = 1;
  const window = new RangeWindow({ blobs: () => blobs });
  assert.equal(window.size, 8);
  blobs = 6;
  assert.equal(window.size, 4);
  blobs = 30;
  assert.equal(window.size, 2);
});

test('a source whose first answers came late is measured again once it answers soon', () => {
  let now = 0;
  const window = new RangeWindow({ now: () => now, utilization: () => 0.95 });
  window.answered(late(90));
  for (let request = 0; request < 8; request += 1) window.record({ bytes: SEGMENT, elapsedMs: (now += 100) });
  assert.deepEqual([window.isFast, window.isOpen], [false, false]);
  window.answered(late(20));
  assert.equal(window.isOpen, true);
  for (let request = 0; request < 20; request += 1) window.record({ bytes: SEGMENT, elapsedMs: (now += 100) });
  assert.deepEqual([window.isFast, window.isOpen], [true, false]);
});

test('an answer that a busy event loop sees late is from near where another request was answered soon', () => {
  const near = new RangeWindow({ pace: new SourcePace(() => 12) });
  assert.equal(near.answered(late(120)), false, 'it was waited for');
  assert.equal(near.answered(seenLate(120)), true);
  const far = new RangeWindow({ pace: new SourcePace(() => 80) });
  assert.equal(far.answered(seenLate(120)), false);
});

test('the first range of a near source is enough where it takes all of the event loop', () => {
  let now = 0;
  const utilization = (): number => 0.95;
  const pace = new SourcePace();
  const window = new RangeWindow({ now: () => now, utilization, pace });
  window.answered(late(10));
  window.record({ bytes: SEGMENT, elapsedMs: (now += 110) });
  assert.equal(window.isFast, true);
  assert.equal(new RangeWindow({ pace }).isFast, true, 'for the next blob as well');
  assert.equal(new RangeWindow().isFast, false, 'not for another source');
});

test('a stream that its connection holds up is left, and many connections stay where they are faster', () => {
  let now = 0;
  let busy = 0.95;
  const pace = new SourcePace();
  const window = new RangeWindow({ now: () => now, utilization: () => busy, pace });
  window.answered(late(10));
  window.record({ bytes: SEGMENT, elapsedMs: (now += 110) });
  const watch = window.watchStream();
  busy = 0.2;
  now += 300;
  watch?.came(3_600_000);
  const rate = watch?.heldUpRate();
  assert.equal(rate, 12_000);
  window.leaveStream(12_000);
  assert.deepEqual([window.isFast, new RangeWindow({ pace }).isFast], [false, false]);
  busy = 0.95;
  for (let request = 0; request < 8; request += 1) {
    now += SEGMENT / 48_000;
    window.record({ bytes: SEGMENT, elapsedMs: 160 });
  }
  window.record({ bytes: SEGMENT, elapsedMs: 10 });
  assert.deepEqual([window.isFast, pace.isFast], [false, false], 'though a server lets the first bytes go fast');
  pace.isFast = true;
  assert.equal(window.isFast, false, 'whatever other blobs have found');
  assert.equal(window.watchStream(), undefined);
});
