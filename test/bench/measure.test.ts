import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measure } from '../../bench/measure.ts';
import { requireTool } from '../support/real-tools.ts';

const options = { env: process.env, timeoutMs: 60_000 };

test('counts the memory and the time of the command itself', async (t) => {
  if (requireTool(t, 'python3') === undefined) return;
  const filled = 100_000_000;
  const idle = await measure([process.execPath, '-e', '0'], options);
  const busy = await measure([process.execPath, '-e', `Buffer.alloc(${filled}, 1)`], options);
  assert.ok(busy.peakBytes > idle.peakBytes + filled * 0.9);
  assert.ok(idle.cpuSeconds > 0 && idle.seconds > 0);
});

test('fails with the status and the output of a command that fails', async (t) => {
  if (requireTool(t, 'python3') === undefined) return;
  const command = [process.execPath, '-e', 'console.error("no such thing"); process.exit(7)'];
  await assert.rejects(measure(command, options), { message: /ended with 7\nno such thing/ });
});

test('ends a command that takes too long', async (t) => {
  if (requireTool(t, 'python3') === undefined) return;
  const command = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];
  await assert.rejects(measure(command, { ...options, timeoutMs: 1 }), { message: /no status in time/ });
});
