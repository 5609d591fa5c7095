import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CredentialSearch, NO_CREDENTIALS } from '../../src/auth/credential-search.ts';
import { type DeniedRequest, explainDenial } from '../../src/auth/denial.ts';

const SECRET = 's3cret';
const basic = { kind: 'basic', username: 'anna', password: SECRET } as const;
const helper = 'credential helper docker-credential-acme: get failed: session expired, run acme login';

function search(more: Partial<CredentialSearch>): CredentialSearch {
  return { ...NO_CREDENTIALS, ...more };
}

const cases: readonly (readonly [request: Partial<DeniedRequest>, sent: string, hint: RegExp])[] = [
  [
    { search: search({ credentials: basic, from: '--src-creds', isGiven: true }) },
    'credentials sent: user anna, from --src-creds',
    /^check the user name and password; .* access token/,
  ],
  [
    { search: search({ credentials: basic, from: '/home/a/.docker/config.json' }) },
    'credentials sent: user anna, from /home/a/.docker/config.json',
    /log in again with imgcopy login registry\.test$/,
  ],
  [
    { search: search({ credentials: basic, from: 'IMGCOPY_SRC_CREDS', isGiven: true }), status: 403 },
    'credentials sent: user anna, from IMGCOPY_SRC_CREDS',
    /^the account may not have the right to do this$/,
  ],
  [
    { search: search({ credentials: { kind: 'identity-token', token: SECRET, username: 'bob' }, from: 'F' }) },
    'credentials sent: an identity token of user bob, from F',
    /log in again/,
  ],
  [
    { search: search({ credentials: { kind: 'registry-token', token: SECRET }, isGiven: true }) },
    'credentials sent: a registry token',
    /^check that the token/,
  ],
  [
    { search: search({ searched: ['/a/auth.json', '/b/config.json'] }) },
    'no credentials sent: none for registry.test in /a/auth.json, /b/config.json',
    /^log in with imgcopy login registry\.test, or give --src-creds$/,
  ],
  [{ search: search({}), side: 'destination' }, 'no credentials sent: no auth file found', /or give --dest-creds$/],
  [
    { search: search({ searched: ['/b/config.json'], problems: [helper] }) },
    `no credentials sent: none for registry.test in /b/config.json; ${helper}`,
    /^fix the credential helper, or give --src-creds$/,
  ],
  [{ search: search({ from: '--no-creds' }) }, 'no credentials sent: --no-creds was given', /^leave out --no-creds/],
  [
    { search: undefined, isAuthorized: false },
    'no credentials sent: the registry asked for none that imgcopy can send',
    /^log in with/,
  ],
  [
    { search: search({ credentials: basic, from: 'F' }), isAuthorized: false },
    'no credentials sent: the registry asked for none that imgcopy can send',
    /does not ask for/,
  ],
  [
    { search: search({}), origin: 'https://registry-1.docker.io' },
    'no credentials sent: no auth file found',
    /^log in with imgcopy login docker\.io, .*does not exist$/,
  ],
  [
    { search: search({ credentials: basic, from: 'F' }), hasToken: true },
    'credentials sent: user anna, from F',
    /^the account may not have the right to do this$/,
  ],
  [
    { search: search({ credentials: basic, from: 'F' }), status: 403, hasToken: false },
    'credentials sent: user anna, from F',
    /^the account may not have the right to do this, or its password or token has expired$/,
  ],
  ...['https://europe-docker.pkg.dev', 'https://eu.gcr.io', 'https://registry.gitlab.com', 'https://quay.io'].map(
    (origin) =>
      [
        { search: search({ credentials: basic }), hasToken: true, origin },
        'credentials sent: user anna',
        /^the account may not.*does not exist$/,
      ] as const,
  ),
  [
    { search: search({ credentials: basic }), status: 403, origin: 'https://ghcr.io' },
    'credentials sent: user anna',
    /^the account may not.*does not exist$/,
  ],
];

for (const [request, sent, hint] of cases) {
  test(`tells of a refusal: ${sent} (${request.status ?? 401}, ${request.origin ?? 'any registry'}, ${hint})`, () => {
    const denial = explainDenial({
      status: 401,
      side: 'source',
      origin: 'https://registry.test',
      isAuthorized: true,
      search: undefined,
      ...request,
    });
    assert.equal(denial.sent, sent);
    assert.match(denial.hint, hint);
    assert.ok(!JSON.stringify(denial).includes(SECRET));
  });
}
