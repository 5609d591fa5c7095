import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSupported, parseChallenges, selectChallenge } from '../../src/auth/challenge.ts';
import type { Credentials } from '../../src/auth/credentials.ts';

const cases: readonly { name: string; header: string | readonly string[] | undefined; expected: readonly unknown[] }[] =
  [
    { name: 'no header', header: undefined, expected: [] },
    { name: 'an empty header', header: '', expected: [] },
    { name: 'a scheme alone', header: 'Negotiate', expected: [['negotiate', {}]] },
    {
      name: 'quoted values with commas in them',
      header:
        'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a:pull,push repository:b:pull"',
      expected: [
        [
          'bearer',
          {
            realm: 'https://auth.test/token',
            service: 'registry.test',
            scope: 'repository:a:pull,push repository:b:pull',
          },
        ],
      ],
    },
    {
      name: 'escapes in a quoted value',
      header: String.raw`Basic realm="a \"quoted\" \\ realm, and more"`,
      expected: [['basic', { realm: String.raw`a "quoted" \ realm, and more` }]],
    },
    {
      name: 'names and schemes in any case',
      header: 'BEARER Realm="https://a.test/t", SERVICE=s',
      expected: [['bearer', { realm: 'https://a.test/t', service: 's' }]],
    },
    {
      name: 'blanks around commas and equals signs',
      header: ' Bearer   realm = "r" ,, service= s ,',
      expected: [['bearer', { realm: 'r', service: 's' }]],
    },
    {
      name: 'several challenges in a line',
      header: 'Negotiate abc==, Bearer realm="r",service="s", Basic realm="b"',
      expected: [
        ['negotiate', {}],
        ['bearer', { realm: 'r', service: 's' }],
        ['basic', { realm: 'b' }],
      ],
    },
    {
      name: 'several lines',
      header: ['Basic realm="b"', 'Bearer realm="r"'],
      expected: [
        ['basic', { realm: 'b' }],
        ['bearer', { realm: 'r' }],
      ],
    },
    {
      name: 'an unquoted URL',
      header: 'Bearer realm=https://auth.test/token?a=b,service=s',
      expected: [['bearer', { realm: 'https://auth.test/token?a=b', service: 's' }]],
    },
    {
      name: 'an empty quoted value',
      header: 'Bearer realm="r",service="",scope="x"',
      expected: [['bearer', { realm: 'r', service: '', scope: 'x' }]],
    },
    {
      name: 'a quoted value that never ends',
      header: ['Bearer realm="r",service="s', 'Basic realm="b"'],
      expected: [
        ['bearer', { realm: 'r' }],
        ['basic', { realm: 'b' }],
      ],
    },
  ];

for (const { name, header, expected } of cases) {
  test(`reads challenges of ${name} (behaviour 39)`, () => {
    const found = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
    assert.deepEqual(found, expected);
  });
}

function select(lines: readonly string[], credentials?: Credentials): string | undefined {
  return selectChallenge(parseChallenges(lines).filter(isSupported), credentials)?.scheme;
}

const offers: readonly (readonly string[])[] = [
  ['Basic realm="b", Bearer realm="r"'],
  ['Bearer realm="r", Basic realm="b"'],
  ['Basic realm="b"', 'Bearer realm="r"'],
  ['Bearer realm="r"', 'Basic realm="b"'],
];

for (const lines of offers) {
  test(`takes Bearer of ${lines.join(' | ')} without a password, else what comes first`, () => {
    const first = lines.join().startsWith('Basic') ? 'basic' : 'bearer';
    assert.equal(select(lines), 'bearer');
    assert.equal(select(lines, { kind: 'identity-token', token: 't' }), 'bearer');
    assert.equal(select(lines, { kind: 'basic', username: 'u', password: 'p' }), first);
  });
}

test('selects nothing where no challenge can be answered (behaviour 39)', () => {
  assert.equal(select(['Negotiate, Basic realm="b"']), undefined);
  assert.equal(select(['Negotiate', 'Digest realm="d",nonce="n"']), undefined);
});
