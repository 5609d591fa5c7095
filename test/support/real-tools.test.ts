import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { realTool, requireTool, runTool } from './real-tools.ts';

function contextThatNotes(skips: string[]): TestContext {
  return { skip: (reason: string) => skips.push(reason) } as unknown as TestContext;
}

test('finds and runs a tool on PATH', async () => {
  const path = realTool('sh') ?? '';
  assert.match(path, /\/sh$/);
  const { stdout } = await runTool(path, ['-c', 'echo $GREETING'], { env: { GREETING: 'hello' } });
  assert.equal(stdout, 'hello\n');
  await assert.rejects(runTool(path, ['-c', 'echo wrong >&2; exit 3']), /wrong/);
});

test('skips where a tool is missing, and fails where it is required', (t) => {
  const before = process.env['IMGCOPY_REQUIRE_REAL'];
  t.after(() => {
    if (before === undefined) delete process.env['IMGCOPY_REQUIRE_REAL'];
    else process.env['IMGCOPY_REQUIRE_REAL'] = before;
  });
  const skips: string[] = [];
  delete process.env['IMGCOPY_REQUIRE_REAL'];
  assert.equal(requireTool(contextThatNotes(skips), 'no-such-tool'), undefined);
  assert.deepEqual(skips, ['no-such-tool is not installed']);
  process.env['IMGCOPY_REQUIRE_REAL'] = '1';
  assert.throws(() => requireTool(contextThatNotes(skips), 'no-such-tool'), /no-such-tool is required/);
  assert.ok(requireTool(contextThatNotes(skips), 'sh'));
});
