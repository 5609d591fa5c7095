import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command, CommanderError } from 'commander';
import { exitStatusOf, formatError, usageError } from '../../src/cli/error-report.ts';
import { ImgcopyError } from '../../src/index.ts';

const request = new ImgcopyError('PATCH https://registry.test/v2/app/blobs/uploads/1: 413 (SIZE_INVALID)', {
  code: 'ERR_UPLOAD_TOO_LARGE',
  side: 'destination',
  hint: 'a proxy limits the size of a request',
});
const operation = new ImgcopyError('copying layer sha256:9f1c', { code: 'ERR_UPLOAD_TOO_LARGE', cause: request });

test('an error tells what failed, then side and request, then what to do', () => {
  assert.equal(
    formatError(operation, { stack: false, sides: true }),
    `imgcopy: copying layer sha256:9f1c
  destination: PATCH https://registry.test/v2/app/blobs/uploads/1: 413 (SIZE_INVALID)
  hint: a proxy limits the size of a request    [ERR_UPLOAD_TOO_LARGE]
`,
  );
});

test('lines are wrapped between words, and indented; a code or a URL is never broken', () => {
  assert.equal(
    formatError(operation, { stack: false, sides: true, columns: 40 }),
    `imgcopy: copying layer sha256:9f1c
  destination: PATCH
    https://registry.test/v2/app/blobs/uploads/1:
    413 (SIZE_INVALID)
  hint: a proxy limits the size of a
    request    [ERR_UPLOAD_TOO_LARGE]
`,
  );
});

test('a command with one registry names no side', () => {
  assert.doesNotMatch(formatError(operation, { stack: false, sides: false }), /destination:/);
});

test('the code comes at the end where there is no hint', () => {
  const error = new ImgcopyError('no such thing', { code: 'ERR_X' });
  assert.equal(formatError(error, { stack: false, sides: true }), 'imgcopy: no such thing    [ERR_X]\n');
});

test('what a cause repeats is said once', () => {
  const error = new ImgcopyError('reading f: no space', { code: 'ERR_X', cause: new Error('no space') });
  assert.equal(formatError(error, { stack: false, sides: true }), 'imgcopy: reading f: no space    [ERR_X]\n');
});

test('stack traces of the error and its causes come on request alone', () => {
  assert.doesNotMatch(formatError(operation, { stack: false, sides: true }), /error-report\.test/);
  assert.equal(formatError(operation, { stack: true, sides: true }).match(/^ImgcopyError/gm)?.length, 2);
});

test('what is thrown and is not an error is printed as it is', () => {
  assert.equal(formatError('out of luck', { stack: false, sides: true }), 'imgcopy: out of luck\n');
});

test('an error that is its own cause is printed once', () => {
  const error = new Error('round');
  error.cause = error;
  assert.equal(formatError(error, { stack: false, sides: true }), 'imgcopy: round\n');
});

test('what failed first is reported, whatever failed while it was cleaned up after', () => {
  const closing = new Error('closing failed as well');
  const suppressed = Object.assign(new Error('An error was suppressed during disposal'), {
    name: 'SuppressedError',
    error: new Error('and so did this'),
    suppressed: Object.assign(new Error('An error was suppressed during disposal'), {
      name: 'SuppressedError',
      error: closing,
      suppressed: operation,
    }),
  });
  const text = formatError(suppressed, { stack: false, sides: false });
  assert.match(text, /^imgcopy: copying layer sha256:9f1c\n {2}PATCH .*\n/);
  assert.match(text, /\n {2}closing failed as well\n {2}and so did this\n {2}hint: .*\[ERR_UPLOAD_TOO_LARGE\]\n$/);
  assert.doesNotMatch(text, /suppressed/);
  assert.equal(exitStatusOf(suppressed), exitStatusOf(operation));
});

test('of several attempts that failed, each is reported once', () => {
  const attempts = [new Error('connect ECONNREFUSED ::1:5000'), new Error('connect ECONNREFUSED 127.0.0.1:5000')];
  const error = new ImgcopyError('no connection', { code: 'ERR_X', cause: new AggregateError(attempts) });
  assert.equal(
    formatError(error, { stack: false, sides: false }),
    `imgcopy: no connection\n  connect ECONNREFUSED ::1:5000\n  connect ECONNREFUSED 127.0.0.1:5000    [ERR_X]\n`,
  );
  assert.match(
    formatError(new AggregateError(attempts), { stack: false, sides: false }),
    /^imgcopy: connect .*::1:5000\n/,
  );
});

const statuses = [
  ['failed', 1],
  ['usage', 2],
  ['not-found', 3],
  ['denied', 4],
  ['integrity', 5],
  ['rate-limited', 6],
] as const;

for (const [kind, status] of statuses) {
  test(`an error of kind ${kind} gives exit status ${status}`, () => {
    assert.equal(exitStatusOf(new ImgcopyError('x', { code: 'ERR_X', kind })), status);
  });
}

test('a wrong argument is reported in the same form, with the nearest right one', () => {
  const error = new CommanderError(
    2,
    'commander.unknownOption',
    "error: unknown option '--jbs'\n(Did you mean --jobs?)",
  );
  assert.equal(
    formatError(usageError(error, new Command('copy')), { stack: false, sides: false }),
    "imgcopy: unknown option '--jbs'\n  hint: did you mean --jobs? See imgcopy help copy    [ERR_USAGE]\n",
  );
  assert.equal(exitStatusOf(usageError(error, undefined)), 2);
});
