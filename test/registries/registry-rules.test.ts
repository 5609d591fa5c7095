import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RegistryRules } from '../../src/registries/registry-rules.ts';
import type { RegistryRule } from '../../src/registries/registries-conf.ts';
import { readFrom, rulesOf, writtenTo } from './conf-texts.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

/** A table with a prefix, and the place that stands for it. */
function moved(prefix: string, location: string): string {
  return `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\n`;
}

interface Move {
  readonly of: string;
  readonly by: string;
  readonly to: string;
}

const moves: readonly Move[] = [
  { of: 'example.com/foo/app', by: moved('example.com/foo', 'inside.test/bar'), to: 'inside.test/bar/app' },
  { of: 'example.com/foo', by: moved('example.com/foo', 'inside.test/bar'), to: 'inside.test/bar' },
  { of: 'example.com/foobar', by: moved('example.com/foo', 'inside.test/bar'), to: 'example.com/foobar' },
  { of: 'example.com/a/b/c', by: moved('example.com', 'inside.test:5000'), to: 'inside.test:5000/a/b/c' },
  { of: 'example.com:5000/a', by: moved('example.com:5000', 'inside.test'), to: 'inside.test/a' },
  // As in containers/image, a host without a port stands for all its ports, which stay.
  { of: 'example.com:5000/a', by: moved('example.com', 'inside.test'), to: 'inside.test:5000/a' },
  { of: 'alpine', by: moved('docker.io', 'inside.test/hub'), to: 'inside.test/hub/library/alpine' },
  { of: 'alpine', by: moved('docker.io/library', 'inside.test/official'), to: 'inside.test/official/alpine' },
  { of: 'a.example.com/x', by: moved('*.example.com', 'inside.test'), to: 'inside.test/x' },
  { of: 'a.b.example.com/x', by: moved('*.example.com', 'inside.test'), to: 'inside.test/x' },
  { of: 'example.com/x', by: moved('*.example.com', 'inside.test'), to: 'example.com/x' },
  { of: 'other.test/a.example.com/x', by: moved('*.example.com', 'inside.test'), to: 'other.test/a.example.com/x' },
  { of: 'example.com/x', by: moved('example.com', 'example.com'), to: 'example.com/x' },
  { of: 'example.com/x', by: moved('example.com', 'example.com/example.com'), to: 'example.com/example.com/x' },
  { of: 'hub.test/app', by: moved('hub.test', 'index.docker.io'), to: 'docker.io/library/app' },
];

for (const { of, by, to } of moves) {
  test(`reads ${of} from ${to}, as ${by.split('\n').slice(1, 3).join(', ')} says`, () => {
    assert.deepEqual(readFrom(rulesOf(by), of), [to]);
  });
}

test('the longest prefix counts, of two of one length the one with a wildcard, whatever their order (behaviour 55)', () => {
  const tables = [
    moved('example.com', 'one.test'),
    moved('example.com/team', 'two.test'),
    moved('*.example.com', 'three.test'),
    moved('deep.sub.example.com', 'four.test'),
    moved('*.sub.example.com', 'five.test'),
    moved('x.example.com', 'six.test'),
  ];
  for (const text of [tables.join(''), tables.toReversed().join('')]) {
    const rules = rulesOf(text);
    const places = [
      'example.com/a',
      'example.com/team/a',
      'any.example.com/a',
      'deep.sub.example.com/a',
      'other.sub.example.com/a',
      'x.example.com/a',
    ];
    assert.deepEqual(
      places.map((place) => readFrom(rules, place)[0]),
      ['one.test/a', 'two.test/a', 'three.test/a', 'four.test/a', 'five.test/a', 'three.test/a'],
    );
  }
});

const mirrored = `
[[registry]]
location = "example.com"
insecure = true
[[registry.mirror]]
location = "all.test/cache"
[[registry.mirror]]
location = "digests.test"
pull-from-mirror = "digest-only"
insecure = true
[[registry.mirror]]
location = "tags.test"
pull-from-mirror = "tag-only"
`;

test('mirrors are asked in order, each for what it is for, and the registry itself last', () => {
  const rules = rulesOf(mirrored);
  assert.deepEqual(readFrom(rules, 'example.com/app:1'), [
    'all.test/cache/app',
    'tags.test/app',
    'example.com/app, insecure',
  ]);
  const byDigest = ['all.test/cache/app', 'digests.test/app, insecure', 'example.com/app, insecure'];
  assert.deepEqual(readFrom(rules, `example.com/app@${DIGEST}`), byDigest);
  assert.deepEqual(readFrom(rules, `example.com/app:1@${DIGEST}`), byDigest);
});

test('mirror-by-digest-only is for all mirrors of a registry', () => {
  const rules = rulesOf('[[registry]]\nlocation="a.test"\nmirror-by-digest-only=true\nmirror=[{location="b.test"}]');
  assert.deepEqual(readFrom(rules, 'a.test/app:1'), ['a.test/app']);
  assert.deepEqual(readFrom(rules, `a.test/app@${DIGEST}`), ['b.test/app', 'a.test/app']);
});

test('a destination is where its name says, and only insecure counts', () => {
  const rules = rulesOf(mirrored, moved('moved.test', 'elsewhere.test'));
  assert.equal(writtenTo(rules, 'example.com/app:1'), 'example.com/app, insecure');
  assert.equal(writtenTo(rules, 'moved.test/app:1'), 'moved.test/app');
});

test('what is blocked is neither read nor written, and the error names the line', () => {
  const rules = rulesOf('\n[[registry]]\nlocation = "no.test/bad"\nblocked = true\n');
  const expected = {
    code: 'ERR_REGISTRY_BLOCKED',
    kind: 'denied',
    message: 'no.test/bad/app is blocked: 1.conf:2 has blocked = true for no.test/bad',
  };
  assert.throws(() => readFrom(rules, 'no.test/bad/app'), expected);
  assert.throws(() => writtenTo(rules, 'no.test/bad/app'), expected);
  assert.deepEqual(readFrom(rules, 'no.test/good/app'), ['no.test/good/app']);
});

test('a mirror in a blocked place is left out; a registry whose location is blocked is itself', () => {
  const blocked = '[[registry]]\nlocation = "no.test"\nblocked = true\n';
  const mirror = '[[registry]]\nlocation = "a.test"\nmirror = [{ location = "no.test" }]\n';
  assert.deepEqual(readFrom(rulesOf(blocked + mirror), 'a.test/app'), ['a.test/app']);
  assert.throws(() => readFrom(rulesOf(blocked, moved('b.test', 'no.test')), 'b.test/app'), {
    code: 'ERR_REGISTRY_BLOCKED',
  });
});

test('mirrors of mirrors are not followed, so they cannot form a loop', () => {
  const table = (location: string, mirror: string): string =>
    `[[registry]]\nlocation = "${location}"\nmirror = [{ location = "${mirror}" }]\n`;
  const rules = rulesOf(table('a.test', 'b.test') + table('b.test', 'a.test') + table('c.test', 'c.test'));
  assert.deepEqual(readFrom(rules, 'a.test/app'), ['b.test/app', 'a.test/app']);
  assert.deepEqual(readFrom(rules, 'b.test/app'), ['a.test/app', 'b.test/app']);
  assert.deepEqual(readFrom(rules, 'c.test/app'), ['c.test/app', 'c.test/app']);
});

test('a later file replaces whole tables of an earlier one by their prefix, and its list of credential helpers', () => {
  const rules = rulesOf(
    `credential-helpers = ["one"]\n${mirrored}`,
    '[[registry]]\nlocation = "example.com"\n',
    'credential-helpers = ["two", "containers-auth.json"]\n',
  );
  assert.deepEqual(readFrom(rules, 'example.com/app:1'), ['example.com/app']);
  assert.deepEqual(rules.credentialHelpers, ['two', 'containers-auth.json']);
});

test('of two tables of one file with one prefix, the first counts', () => {
  assert.deepEqual(readFrom(rulesOf(moved('a.test', 'b.test') + moved('a.test', 'c.test')), 'a.test/app'), [
    'b.test/app',
  ]);
});

for (const location of ['mirror', 'mirror/hub', 'a.test/App', 'a.test:port']) {
  test(`refuses the location ${location} when an image is to be read there, and names the line`, () => {
    assert.throws(() => readFrom(rulesOf(`\n\n${moved('x.test', location)}`), 'x.test/app'), {
      code: 'ERR_REGISTRIES_CONF',
      message: /^1\.conf:3: the location /,
    });
  });
}

test('finds one of 5,000 tables by a few look-ups', () => {
  const rule = (prefix: string): RegistryRule => ({
    prefix,
    location: 'inside.test',
    insecure: false,
    blocked: false,
    mirrors: [],
    origin: '',
  });
  const names = Array.from({ length: 5_000 }, (_, index) => `host-${index}.example.com/team-${index}`);
  class Counted extends Map<string, RegistryRule> {
    lookUps = 0;
    override get(key: string): RegistryRule | undefined {
      this.lookUps += 1;
      return super.get(key);
    }
  }
  const counted = new Counted(names.map((name) => [name, rule(name)]));
  const rules = new RegistryRules(counted);
  assert.deepEqual(readFrom(rules, 'host-4999.example.com/team-4999/app'), ['inside.test/app']);
  assert.deepEqual(readFrom(rules, 'host-5000.example.com/team-5000/app'), ['host-5000.example.com/team-5000/app']);
  assert.ok(counted.lookUps < 20, `${counted.lookUps} look-ups`);
});
