import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseErrorBody } from '../../src/errors/error-body.ts';

function errors(...entries: readonly object[]): string {
  return JSON.stringify({ errors: entries });
}

test('reads the errors of an answer in each form that registries give them (behaviour 48)', () => {
  const cases: readonly (readonly [text: string, codes: readonly string[], message: string])[] = [
    [errors({ code: 'DENIED', message: 'no', detail: { a: 1 } }), ['DENIED'], 'DENIED: no [{"a":1}]'],
    [errors({ code: 'DENIED', message: 'no', detail: 'read-only' }), ['DENIED'], 'DENIED: no [read-only]'],
    [
      errors({ code: 'DENIED', message: 'it is read-only', detail: 'read-only' }),
      ['DENIED'],
      'DENIED: it is read-only',
    ],
    [errors({ code: 'DENIED', message: 'no', detail: ['a', 1] }), ['DENIED'], 'DENIED: no [["a",1]]'],
    [errors({ code: 'DENIED', detail: 'alone' }), ['DENIED'], 'DENIED [alone]'],
    [errors({ detail: 'alone' }), [], '[alone]'],
    ...[null, '', {}, [], 7].map((detail) => [errors({ code: 'X', detail }), ['X'], 'X'] as const),
    [
      errors({ code: 'TOOMANYREQUESTS', message: 'slow', detail: { a: 1 } }),
      ['TOOMANYREQUESTS'],
      'TOOMANYREQUESTS: slow',
    ],
    [errors({ code: 'A', message: 'one' }, { code: 'B', message: 'two' }), ['A', 'B'], 'A: one; B: two'],
    [errors({ code: 'DENIED' }), ['DENIED'], 'DENIED'],
    [errors({ message: 'no code' }), [], 'no code'],
    [errors({ code: 'DENIED', message: null }), ['DENIED'], 'DENIED'],
    [errors({ code: 7, message: ['odd'] }), [], ''],
    [JSON.stringify({ errors: [null, 'text', 7] }), [], ''],
    [JSON.stringify({ errors: [] }), [], ''],
    [JSON.stringify({ details: 'too many requests' }), [], 'too many requests'],
    [JSON.stringify({ code: 'UNKNOWN', message: 'said alone' }), ['UNKNOWN'], 'UNKNOWN: said alone'],
    [JSON.stringify({ errors: 'no list', message: 'beside it' }), [], 'beside it'],
    [
      JSON.stringify({ error: 'invalid_grant', error_description: 'it has expired' }),
      ['invalid_grant'],
      'invalid_grant: it has expired',
    ],
    ['quota exceeded\n', [], 'quota exceeded'],
    ['"a JSON text"', [], '"a JSON text"'],
    ['{"errors":[', [], '{"errors":['],
    [' <html><h1>502 Bad Gateway</h1></html>', [], ''],
    ['', [], ''],
  ];
  for (const [text, codes, message] of cases) assert.deepEqual(parseErrorBody(text), { codes, message }, text);
});

test('strips what could steer a terminal, and cuts what is long', () => {
  const steering = parseErrorBody(errors({ code: 'X', message: '\u001b[31mred\u0007\u009b2J\u202etxt\r\nline' }));
  assert.doesNotMatch(steering.message, /[\p{Cc}\p{Cf}]/u);
  assert.match(steering.message, /^X: .*red.*txt.*line$/);
  assert.doesNotMatch(parseErrorBody('\u001b]0;title\u0007plain').message, /[\p{Cc}\p{Cf}]/u);
  for (const text of ['x'.repeat(10_000), errors({ code: 'X', message: 'x'.repeat(10_000) })])
    assert.ok(parseErrorBody(text).message.length <= 201);
});

test('never shows the secret that was sent, wherever a server quotes it', () => {
  const secret = 'pa"ss';
  const texts = [
    `wrong password pa"ss`,
    errors({ code: 'X', message: `no: ${secret}` }),
    errors({ code: 'X', detail: secret }),
    errors({ code: 'X', detail: { password: secret } }),
    JSON.stringify({ error: 'x', error_description: secret }),
  ];
  for (const text of texts) {
    const { message } = parseErrorBody(text, secret);
    assert.match(message, /\*\*\*/);
    assert.doesNotMatch(message, /pa\\?"ss/);
  }
});
