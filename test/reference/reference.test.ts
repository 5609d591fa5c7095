import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../src/digest/digest.ts';
import {
  formatReference,
  InvalidReferenceError,
  parseReference,
  pinnedReference,
  type RegistryReference,
  UnknownTransportError,
  withDefaultTag,
} from '../../src/reference/reference.ts';

const DIGEST: Digest = `sha256:${'d'.repeat(64)}`;
const app: RegistryReference = { transport: 'docker', registry: 'h.io:5000', repository: 'team/app' };

test('takes a name with and without docker:// for the same image', () => {
  assert.deepEqual(parseReference('docker://h.io:5000/team/app'), app);
  assert.deepEqual(parseReference('h.io:5000/team/app'), app);
  assert.deepEqual(parseReference('docker://alpine'), parseReference('docker.io/library/alpine'));
});

test('takes an image called like a transport where docker:// says that it is one', () => {
  assert.deepEqual(parseReference('docker://docker:27'), {
    transport: 'docker',
    registry: 'docker.io',
    repository: 'library/docker',
    tag: '27',
  });
  assert.equal(formatReference(parseReference('docker://oci:1')), 'docker://docker.io/library/oci:1');
  assert.equal(formatReference(parseReference('oci/tool:1')), 'docker://docker.io/oci/tool:1');
});

const directories: readonly (readonly [string, string])[] = [
  ['dir:/var/image', '/var/image'],
  ['dir:./image', './image'],
  ['dir:image', 'image'],
  ['dir:C:\\images\\app', 'C:\\images\\app'],
  ['dir:/with space/and@sign', '/with space/and@sign'],
  ['dir:/short@sha256:12', '/short@sha256:12'],
];

for (const [text, path] of directories) {
  test(`reads ${text} as a directory`, () => {
    assert.deepEqual(parseReference(text), { transport: 'dir', path });
    assert.equal(formatReference(parseReference(text)), text);
  });
}

test('fills in the tag latest only where there is neither tag nor digest', () => {
  assert.deepEqual(withDefaultTag(app), { ...app, tag: 'latest' });
  assert.deepEqual(withDefaultTag({ ...app, tag: '1' }), { ...app, tag: '1' });
  assert.deepEqual(withDefaultTag({ ...app, digest: DIGEST }), { ...app, digest: DIGEST });
});

test('pins an image by digest, in a text that reads back as the image', () => {
  assert.equal(pinnedReference({ ...app, tag: '1' }, DIGEST), `docker://h.io:5000/team/app@${DIGEST}`);
  assert.equal(pinnedReference({ transport: 'dir', path: '/a b' }, DIGEST), `dir:/a b@${DIGEST}`);
  assert.deepEqual(parseReference(`docker://h.io:5000/team/app@${DIGEST}`), { ...app, digest: DIGEST });
  assert.deepEqual(parseReference(`dir:/a b@${DIGEST}`), { transport: 'dir', path: '/a b', digest: DIGEST });
});

test('pins over the digest that a reference had', () => {
  const other: Digest = `sha256:${'0'.repeat(64)}`;
  assert.equal(pinnedReference({ ...app, digest: other }, DIGEST), `docker://h.io:5000/team/app@${DIGEST}`);
  assert.equal(pinnedReference({ transport: 'dir', path: '/a', digest: other }, DIGEST), `dir:/a@${DIGEST}`);
});

const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const references = fc.record(
  {
    transport: fc.constant('docker' as const),
    registry: fc.constantFrom('docker.io', 'localhost', 'h.io', 'H:5000', '127.0.0.1:80', '[::1]:5000'),
    repository: fc.array(word, { minLength: 2, maxLength: 5 }).map((words) => words.join('/')),
    tag: fc.stringMatching(/^\w[\w.-]{0,20}$/),
    digest: fc.stringMatching(/^[0-9a-f]{64}$/).map((hex): Digest => `sha256:${hex}`),
  },
  { requiredKeys: ['transport', 'registry', 'repository'] },
);

test('reads back every reference that it writes', () => {
  fc.assert(
    fc.property(references, (reference) => {
      assert.deepEqual(parseReference(formatReference(reference)), { ...reference });
    }),
  );
});

test('answers any text with a reference or with an error of its own', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9:/@._[\]-]{0,40}$/)), (text) => {
      try {
        parseReference(text);
      } catch (error) {
        assert(error instanceof InvalidReferenceError || error instanceof UnknownTransportError);
      }
    }),
  );
});

const otherTransports: readonly (readonly [string, string, string])[] = [
  ['oci:foo', 'oci:', 'docker://oci:foo'],
  ['oci:path/to:tag', 'oci:', 'docker://oci:path/to:tag'],
  ['oci-archive:a.tar', 'oci-archive:', 'docker://oci-archive:a.tar'],
  ['docker-archive:x', 'docker-archive:', 'docker://docker-archive:x'],
  ['docker-daemon:app:1', 'docker-daemon:', 'docker://docker-daemon:app:1'],
  ['containers-storage:app', 'containers-storage:', 'docker://containers-storage:app'],
  ['https://h.io/app', 'https://', 'docker://h.io/app'],
  ['oci://h.io/chart:1', 'oci://', 'docker://h.io/chart:1'],
  ['ocidir://path', 'ocidir://', 'docker://path'],
  ['DOCKER://h.io/app', 'DOCKER://', 'docker://h.io/app'],
];

for (const [text, transport, hinted] of otherTransports) {
  test(`refuses the transport of ${text} and lists those it knows`, () => {
    assert.throws(
      () => parseReference(text),
      (error: unknown) => {
        assert(error instanceof UnknownTransportError);
        assert.equal(error.code, 'ERR_UNKNOWN_TRANSPORT');
        assert.equal(error.kind, 'usage');
        assert(error.message.includes(JSON.stringify(transport)));
        assert(error.message.includes('docker://, dir:'));
        assert(error.hint?.includes(hinted));
        return true;
      },
    );
  });
}

const hinted: readonly (readonly [string, string])[] = [
  ['./image', 'dir:./image'],
  ['../image', 'dir:../image'],
  ['/var/image', 'dir:/var/image'],
  ['/var/user@host/image', 'dir:/var/user@host/image'],
  ['.', 'dir:.'],
  ['..', 'dir:..'],
  ['C:\\image', 'dir:C:\\image'],
  ['c:/image', 'dir:c:/image'],
  ['images\\app', 'dir:images\\app'],
  ['docker:alpine', 'did you mean docker://alpine, or docker://docker:alpine for the image called docker?'],
  ['docker:/h.io/app:1', 'did you mean docker://h.io/app:1?'],
];

for (const [text, hint] of hinted) {
  test(`hints at ${hint} for ${text}`, () => {
    assert.throws(() => parseReference(text), { name: 'InvalidReferenceError', code: 'ERR_INVALID_REFERENCE', hint });
  });
}

for (const text of ['', 'dir:', 'docker://', 'docker:///app', 'docker:', 'dir:/a\0b']) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseReference(text), InvalidReferenceError);
  });
}

const withPasswords: readonly string[] = [
  'docker://user:secret@h.io/app',
  'user:secret@h.io/app:1',
  'user:se/secret@h.io/app',
  'user:se@secret@h.io/app',
  'https://user:secret@h.io/app',
  'docker:/user:secret@h.io/app',
  'oci:user:secret@h.io/app',
];

for (const text of withPasswords) {
  test(`refuses ${text.replace('secret', '…')} without repeating the password`, () => {
    assert.throws(
      () => parseReference(text),
      (error: unknown) => {
        assert(error instanceof InvalidReferenceError || error instanceof UnknownTransportError);
        assert.doesNotMatch(`${error.message} ${error.hint}`, /secret/);
        return true;
      },
    );
  });
}

test('cuts a very long text in its message', () => {
  assert.throws(
    () => parseReference('x'.repeat(10_000)),
    (error: Error) => error.message.length < 500,
  );
});
