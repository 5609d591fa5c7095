import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidReferenceError } from '../../src/reference/reference-errors.ts';
import { isTag, parseRegistryReference } from '../../src/reference/registry-reference.ts';

const SHA256 = `sha256:${'f'.repeat(64)}`;
const SHA512 = `sha512:${'e'.repeat(128)}`;

/** Text, registry, repository, tag, digest. */
const names: readonly (readonly [string, string, string, (string | undefined)?, string?])[] = [
  ['alpine', 'docker.io', 'library/alpine'],
  ['alpine:3.20', 'docker.io', 'library/alpine', '3.20'],
  ['library/alpine', 'docker.io', 'library/alpine'],
  ['docker.io/alpine', 'docker.io', 'library/alpine'],
  ['docker.io/library/alpine', 'docker.io', 'library/alpine'],
  ['index.docker.io/alpine:1', 'docker.io', 'library/alpine', '1'],
  ['index.docker.io/grafana/grafana', 'docker.io', 'grafana/grafana'],
  ['grafana/grafana:latest', 'docker.io', 'grafana/grafana', 'latest'],
  ['a/b/c/d', 'docker.io', 'a/b/c/d'],
  ['registry-1.docker.io/library/alpine', 'registry-1.docker.io', 'library/alpine'],

  ['localhost/app', 'localhost', 'app'],
  ['localhost:5000/app:1', 'localhost:5000', 'app', '1'],
  ['localhost:5000', 'docker.io', 'library/localhost', '5000'],
  ['test.com', 'docker.io', 'library/test.com'],
  ['test.com/app', 'test.com', 'app'],
  ['test:5000/app:tag', 'test:5000', 'app', 'tag'],
  ['LOCALDOMAIN/app', 'LOCALDOMAIN', 'app'],
  ['Host/app', 'Host', 'app'],
  ['192.168.1.1', 'docker.io', 'library/192.168.1.1'],
  ['192.168.1.1:5000/app:5050', '192.168.1.1:5000', 'app', '5050'],
  ['[::1]/app', '[::1]', 'app'],
  ['[::1]:5000/team/app:1', '[::1]:5000', 'team/app', '1'],
  ['[2001:db8:1:2:3:4:5:6]/app', '[2001:db8:1:2:3:4:5:6]', 'app'],
  ['xn--n3h.com/app:xn--n3h.com', 'xn--n3h.com', 'app', 'xn--n3h.com'],

  [`alpine@${SHA256}`, 'docker.io', 'library/alpine', undefined, SHA256],
  [`h.io/app:1@${SHA256}`, 'h.io', 'app', '1', SHA256],
  [`h.io:80/app@${SHA512}`, 'h.io:80', 'app', undefined, SHA512],

  ['h.io/lower:UPPER_case.-', 'h.io', 'lower', 'UPPER_case.-'],
  [`h.io/a:${'t'.repeat(128)}`, 'h.io', 'a', 't'.repeat(128)],
  [`h.io/${'a'.repeat(255)}:1`, 'h.io', 'a'.repeat(255), '1'],
  ['h.io/a_b/c__d/e.f/g---h', 'h.io', 'a_b/c__d/e.f/g---h'],
  [`docker.io/${'ab'.repeat(32)}`, 'docker.io', `library/${'ab'.repeat(32)}`],
];

for (const [text, registry, repository, tag, digest] of names) {
  test(`reads ${text.slice(0, 80)} as docker does`, () => {
    assert.deepEqual(parseRegistryReference(text, text), {
      registry,
      repository,
      ...(tag !== undefined && { tag }),
      ...(digest !== undefined && { digest }),
    });
  });
}

const refused: readonly (readonly [string, RegExp])[] = [
  ['', /names no repository/],
  ['h.io/', /names no repository/],
  [':tag', /names no repository/],
  [`@${SHA256}`, /names no repository/],
  ['/app', /part of the repository is empty/],
  ['a//b', /part of the repository is empty/],
  ['h.io/a/', /part of the repository is empty/],
  ['h.io/a/:1', /part of the repository is empty/],

  ['Alpine:3', /"Alpine" has upper-case/],
  ['h.io/Team/app', /"Team\/app" has upper-case/],
  ['team/App', /"team\/App" has upper-case/],

  ['h.io/-a', /"-a" in the repository/],
  ['h.io/a-', /"a-" in the repository/],
  ['h.io/a..b', /"a\.\.b" in the repository/],
  ['h.io/a_.b', /"a_\.b" in the repository/],
  ['h.io/a___b', /"a___b" in the repository/],
  ['h.io/../etc', /"\.\." in the repository/],
  ['h.io/a b', /"a b" in the repository/],
  ['h.io/a%2fb', /"a%2fb" in the repository/],
  ['h.io/a\n', /in the repository/],
  ['h.io/é', /"é" in the repository/],
  [`h.io/${'a'.repeat(256)}`, /256 characters, more than 255/],
  ['a'.repeat(248), /256 characters, more than 255/],
  ['ab'.repeat(32), /ID of an image/],

  ['app:', /tag after the colon is empty/],
  [`h.io/app:@${SHA256}`, /tag after the colon is empty/],
  ['app:.1', /the tag "\.1"/],
  ['app:-1', /the tag "-1"/],
  ['app:1:2', /the tag "1:2"/],
  ['app:1\n', /the tag "1\\n"/],
  [`app:${'t'.repeat(129)}`, /129 characters, more than 128/],

  ['app@', /digest is not/],
  ['app@latest', /digest is not/],
  ['app@sha256:12', /digest is not/],
  [`app@${SHA256.toUpperCase()}`, /digest is not/],
  [`app@sha256:${'F'.repeat(64)}`, /digest is not/],
  [`app@sha384:${'a'.repeat(96)}`, /digest is not/],
  [`app@${SHA256}@${SHA256}`, /digest is not/],

  ['foo:bar/baz', /port "bar" is not a number/],
  ['h.io:/app', /port "" is not a number/],
  ['h.io:99999/app', /"h\.io:99999" is not a host and port/],
  ['256.1.1.1/app', /"256\.1\.1\.1" is not a host and port/],
  ['[::::]/app', /not a host and port/],
  ['-h.io/app', /"-h\.io" is not a valid host name/],
  ['h_x.io/app', /"h_x\.io" is not a valid host name/],
  ['[fe80::1%eth0]:5000/app', /is not a valid host name/],
  ['::1/app', /is not a valid host name/],
];

for (const [text, problem] of refused) {
  test(`refuses ${JSON.stringify(text.slice(0, 80))} and says why`, () => {
    assert.throws(
      () => parseRegistryReference(text, text),
      (error: unknown) => {
        assert(error instanceof InvalidReferenceError);
        assert.match(error.message, problem);
        assert.equal(error.code, 'ERR_INVALID_REFERENCE');
        assert.equal(error.kind, 'usage');
        return true;
      },
    );
  });
}

test('names the lower-case form of an upper-case repository', () => {
  assert.throws(() => parseRegistryReference('h.io:80/Team/App:V1', 'h.io:80/Team/App:V1'), {
    hint: 'repositories are lower-case: docker://h.io:80/team/app',
  });
  assert.throws(() => parseRegistryReference('Alpine:3', 'Alpine:3'), {
    hint: 'repositories are lower-case: docker://docker.io/alpine',
  });
});

test('takes for a tag what a registry takes', () => {
  for (const tag of ['latest', '1', '_a', 'v1.2.3-rc.1', 'A'.repeat(128)]) assert(isTag(tag), tag);
  for (const tag of ['', '.a', '-a', 'a b', 'a/b', 'a:b', 'a@b', 'a\n', 'A'.repeat(129)]) assert(!isTag(tag), tag);
});
