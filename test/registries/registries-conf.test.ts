import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRegistriesConf } from '../../src/registries/registries-conf.ts';

interface Refused {
  readonly what: string;
  readonly text: string;
  /** Of the error; the file is r.conf. */
  readonly message: RegExp;
  readonly hint?: RegExp;
}

const MIRROR = '[[registry]]\nlocation = "a.test"\n\n[[registry.mirror]]\nlocation = "b.test"\n';

const refused: readonly Refused[] = [
  { what: 'what is not TOML', text: 'a = 1\n[[registry\n', message: /^r\.conf:2: invalid TOML: / },
  { what: 'a key that comes twice', text: 'a = 1\na = 2\n', message: /^r\.conf:2: invalid TOML: / },
  {
    what: 'version 1',
    text: "# old\n[registries.search]\nregistries = ['docker.io']\n",
    message: /^r\.conf:2: this is version 1/,
    hint: /^write a \[\[registry\]\] table for each registry, .*--no-registries-conf$/,
  },
  {
    what: 'version 1 with an empty list beside version 2',
    text: '[[registry]]\nlocation = "a.test"\n[registries.block]\nregistries = []\n',
    message: /^r\.conf:3: this is version 1/,
  },
  {
    what: 'a single [registry] table',
    text: '\n[registry]\nlocation = "a.test"\n',
    message: /^r\.conf:2: registry is not a list of tables/,
    hint: /^write \[\[registry\]\] with two brackets/,
  },
  {
    what: 'a single [registry.mirror] table',
    text: '[[registry]]\nlocation = "a.test"\n[registry.mirror]\nlocation = "b.test"\n',
    message: /^r\.conf:3: mirror is not a list of tables/,
  },
  {
    what: 'a table without place',
    text: '\n[[registry]]\ninsecure = true\n',
    message: /^r\.conf:2: .*neither prefix nor location/,
  },
  {
    what: 'a prefix without location',
    text: '[[registry]]\nprefix = "a.test"\n',
    message: /^r\.conf:1: .*has no location/,
  },
  {
    what: 'a wildcard with a path',
    text: '[[registry]]\nlocation = "a.test"\nprefix = "*.a.test/foo"\n',
    message: /^r\.conf:3: prefix "\*\.a\.test\/foo" is not of the form \*\.example\.com/,
  },
  {
    what: 'a URL as location',
    text: '[[registry]]\nlocation = "https://a.test"\n',
    message: /^r\.conf:2: location "https:\/\/a\.test" is a URL: write it without https:\/\//,
  },
  {
    what: 'a URL as the location of a mirror',
    text: MIRROR.replace('b.test', 'http://b.test'),
    message: /^r\.conf:5: /,
  },
  {
    what: 'a mirror without location',
    text: `${MIRROR}[[registry.mirror]]\n`,
    message: /^r\.conf:4: a mirror has no location/,
  },
  {
    what: 'pull-from-mirror outside of a mirror',
    text: '[[registry]]\nlocation = "a.test"\npull-from-mirror = "all"\n',
    message: /^r\.conf:3: pull-from-mirror belongs in a \[\[registry\.mirror\]\] table/,
  },
  {
    what: 'an unknown pull-from-mirror',
    text: `${MIRROR}pull-from-mirror = "digests"\n`,
    message: /^r\.conf:6: .*"digests": expected all, digest-only or tag-only/,
  },
  {
    what: 'pull-from-mirror beside mirror-by-digest-only',
    text: `${MIRROR.replace('\n\n', '\nmirror-by-digest-only = true\n')}pull-from-mirror = "all"\n`,
    message: /^r\.conf:6: .*use one of them/,
  },
  {
    what: 'a second table that is insecure where the first is not',
    text: '[[registry]]\nlocation = "a.test"\n[[registry]]\nlocation = "a.test"\ninsecure = true\n',
    message: /^r\.conf:3: two tables for "a\.test" disagree about insecure; the other one is at r\.conf:1$/,
  },
  {
    what: 'a second table that is blocked where the first is not',
    text: '[[registry]]\nlocation = "a.test"\nprefix = "b.test"\n[[registry]]\nlocation = "a.test"\nblocked = true\n',
    message: /^r\.conf:4: two tables for "a\.test" disagree about blocked/,
  },
  {
    what: 'a number as location',
    text: '[[registry]]\nlocation = 5\n',
    message: /^r\.conf:2: location is not a string/,
  },
  {
    what: 'a text as flag',
    text: '[[registry]]\nlocation = "a.test"\ninsecure = "yes"\n',
    message: /^r\.conf:3: insecure is neither/,
  },
  {
    what: 'a text as list of helpers',
    text: 'credential-helpers = "x"\n',
    message: /^r\.conf:1: credential-helpers is not a list/,
  },
];

for (const { what, text, message, hint = /, or run without it: --no-registries-conf$/ } of refused) {
  test(`refuses ${what}, with file, line and remedy`, () => {
    const code = 'ERR_REGISTRIES_CONF';
    assert.throws(() => parseRegistriesConf({ file: 'r.conf', text }), { code, kind: 'usage', message, hint });
  });
}

test('reads tables in every notation of TOML, names in capitals, and slashes at the end', () => {
  const { rules } = parseRegistriesConf({
    file: 'r.conf',
    text: '\uFEFFregistry = [{ Location = "a.test/", prefix = "b.test//", mirror = [{ LOCATION = "c.test/" }] }]\n',
  });
  assert.deepEqual(rules, [
    {
      prefix: 'b.test',
      location: 'a.test',
      insecure: false,
      blocked: false,
      mirrors: [{ location: 'c.test', insecure: false, pullFrom: 'all' }],
      origin: 'r.conf:1',
    },
  ]);
});

test('ignores short names, search registries and unknown fields', () => {
  const text = `unqualified-search-registries = ["a.test"]
short-name-mode = "enforcing"
additional-layer-store-auth-helper = "x"
future = { nested = true }
[aliases]
"app" = "a.test/app"
[registries]
other = 1
`;
  assert.deepEqual(parseRegistriesConf({ file: 'r.conf', text }), { rules: [], credentialHelpers: undefined });
});
