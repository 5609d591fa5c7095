import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  fasterThanPeers,
  nearPerfectPlan,
  overBareNode,
  peakMemory,
  withinPeers,
  type Goal,
  type Run,
} from '../../bench/goals.ts';

const medians = {
  imgcopy: run({ seconds: 0.5, peakBytes: 120e6, fromSourceBytes: 1040 }),
  crane: run({ seconds: 2 }),
  oras: run({ seconds: 1.2 }),
  node: run({ seconds: 0.04 }),
};

const judged: readonly [string, Goal, boolean, string][] = [
  ['faster than peers, reached', fasterThanPeers(2.4), true, '2.40x oras'],
  ['faster than peers, missed', fasterThanPeers(2.5), false, '2.40x oras'],
  ['within peers, reached', withinPeers(0.5), true, '0.42 of oras'],
  ['within peers, missed', withinPeers(0.4), false, '0.42 of oras'],
  ['over bare node, reached', overBareNode(460), true, '460 ms over node'],
  ['over bare node, missed', overBareNode(459), false, '460 ms over node'],
  ['near the perfect plan, reached', nearPerfectPlan(1.05, 1000), true, '1.040 of the perfect plan'],
  ['near the perfect plan, missed', nearPerfectPlan(1.03, 1000), false, '1.040 of the perfect plan'],
  ['peak memory, reached', peakMemory(120), true, '120 MB'],
  ['peak memory, missed', peakMemory(119), false, '120 MB'],
];

for (const [name, goal, met, reached] of judged) {
  test(`judges ${name}`, () => {
    const verdict = goal(medians);
    assert.equal(verdict?.met, met);
    assert.equal(verdict.reached, reached);
  });
}

test('judges nothing where there is nothing to compare with', () => {
  const alone = { imgcopy: run({ seconds: 1 }) };
  for (const goal of [fasterThanPeers(1), withinPeers(1), overBareNode(1), nearPerfectPlan(1, 1)])
    assert.equal(goal(alone), undefined);
  assert.equal(peakMemory(1)({}), undefined);
});

function run(figures: Partial<Run>): Run {
  return { seconds: 1, cpuSeconds: 1, peakBytes: 1, ...figures };
}
