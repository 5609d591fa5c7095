import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Digest } from '../../src/digest/digest.ts';
import { InvalidReferenceError, UnknownTransportError } from '../../src/reference/reference-errors.ts';
import { formatRegistryReference } from '../../src/reference/registry-reference.ts';
import { parseImageName } from '../../src/transports/table.ts';

const DIGEST: Digest = `sha256:${'d'.repeat(64)}`;

/** The name in full that a text stands for. */
function named(text: string): string {
  return String(parseImageName(text));
}

test('takes a name with and without docker:// for the same image', async () => {
  assert.equal(named('docker://h.io:5000/team/app'), 'docker://h.io:5000/team/app');
  assert.equal(named('h.io:5000/team/app'), 'docker://h.io:5000/team/app');
  assert.equal(named('docker://alpine'), named('docker.io/library/alpine'));
  assert.equal(await parseImageName('alpine').place(), await parseImageName('docker.io/library/alpine').place());
});

test('takes an image called like a transport where docker:// says that it is one', () => {
  assert.equal(named('docker://docker:27'), 'docker://docker.io/library/docker:27');
  assert.equal(named('docker://oci:1'), 'docker://docker.io/library/oci:1');
  assert.equal(named('oci/tool:1'), 'docker://docker.io/oci/tool:1');
});

const directories: readonly string[] = [
  'dir:/var/image',
  'dir:./image',
  'dir:image',
  'dir:C:\\images\\app',
  'dir:/with space/and@sign',
  'dir:/short@sha256:12',
];

for (const text of directories) {
  test(`reads ${text} as a directory`, () => {
    const name = parseImageName(text);
    assert.deepEqual([name.transport, name.digest, String(name)], ['dir', undefined, text]);
  });
}

test('fills in the tag latest only where there is neither tag nor digest', () => {
  const complete = (text: string): string => String(parseImageName(text).withDefaultTag());
  assert.equal(complete('h.io/app'), 'docker://h.io/app:latest');
  assert.equal(complete('h.io/app:1'), 'docker://h.io/app:1');
  assert.equal(complete(`h.io/app@${DIGEST}`), `docker://h.io/app@${DIGEST}`);
  assert.equal(complete('dir:app'), 'dir:app');
});

const completions: readonly (readonly [destination: string, source: string, expected: string])[] = [
  ['h.io/app', 'alpine:3.20', 'docker://h.io/app:3.20'],
  ['h.io/app:1', 'alpine:3.20', 'docker://h.io/app:1'],
  ['h.io/app', 'alpine', 'docker://h.io/app:latest'],
  ['h.io/app', `alpine@${DIGEST}`, `docker://h.io/app@${DIGEST}`],
  ['h.io/app', `alpine:3.20@${DIGEST}`, 'docker://h.io/app:3.20'],
  ['h.io/app', 'dir:app', 'docker://h.io/app:latest'],
  ['h.io/app', `dir:app@${DIGEST}`, 'docker://h.io/app:latest'],
  ['dir:app', 'alpine:3.20', 'dir:app'],
];

for (const [destination, source, expected] of completions) {
  test(`a copy of ${source} to ${destination} goes to ${expected}`, () => {
    assert.equal(String(parseImageName(destination).completedFrom(parseImageName(source))), expected);
  });
}

test('pins an image by digest, in a text that reads back as the image', () => {
  const other: Digest = `sha256:${'0'.repeat(64)}`;
  for (const [text, pinned] of [
    ['h.io:5000/team/app:1', `docker://h.io:5000/team/app@${DIGEST}`],
    [`h.io:5000/team/app@${other}`, `docker://h.io:5000/team/app@${DIGEST}`],
    ['dir:/a b', `dir:/a b@${DIGEST}`],
    [`dir:/a@${other}`, `dir:/a@${DIGEST}`],
  ] as const) {
    assert.equal(parseImageName(text).pinned(DIGEST), pinned);
    assert.equal(parseImageName(pinned).digest, DIGEST);
    assert.equal(named(pinned), pinned);
  }
});

test('two names of one directory are one place', async () => {
  assert.equal(await parseImageName('dir:/tmp').place(), await parseImageName('dir:/tmp/../tmp/.').place());
  assert.notEqual(await parseImageName('dir:/tmp').place(), await parseImageName('dir:/tmp/x').place());
});

const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
const references = fc.record(
  {
    registry: fc.constantFrom('docker.io', 'localhost', 'h.io', 'H:5000', '127.0.0.1:80', '[::1]:5000'),
    repository: fc.array(word, { minLength: 2, maxLength: 5 }).map((words) => words.join('/')),
    tag: fc.stringMatching(/^\w[\w.-]{0,20}$/),
    digest: fc.stringMatching(/^[0-9a-f]{64}$/).map((hex): Digest => `sha256:${hex}`),
  },
  { requiredKeys: ['registry', 'repository'] },
);

test('reads back every reference that it writes', () => {
  fc.assert(
    fc.property(references, (reference) => {
      const text = formatRegistryReference(reference);
      assert.equal(named(text), text);
    }),
  );
});

test('answers any text with a reference or with an error of its own', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-zA-Z0-9:/@._[\]-]{0,40}$/)), (text) => {
      try {
        parseImageName(text);
      } catch (error) {
        assert(error instanceof InvalidReferenceError || error instanceof UnknownTransportError);
      }
    }),
  );
});

const otherTransports: readonly (readonly [string, string, string])[] = [
  ['docker-daemon:app:1', 'docker-daemon:', 'docker save app:1 | imgcopy - DST, or imgcopy SRC - | docker load'],
  ['containers-storage:app', 'containers-storage:', 'podman save app | imgcopy - DST'],
  ['https://h.io/app', 'https://', 'docker://h.io/app'],
  ['ocidir://path:1', 'ocidir://', 'oci:path:1'],
  ['oci-layout://path:1', 'oci-layout://', 'oci:path:1'],
  ['oci-layout:path:1', 'oci-layout:', 'oci:path:1'],
  ['DOCKER://h.io/app', 'DOCKER://', 'docker://h.io/app'],
];

for (const [text, transport, hinted] of otherTransports) {
  test(`refuses the transport of ${text} and lists those it knows`, () => {
    assert.throws(
      () => parseImageName(text),
      (error: unknown) => {
        assert(error instanceof UnknownTransportError);
        assert.equal(error.code, 'ERR_UNKNOWN_TRANSPORT');
        assert.equal(error.kind, 'usage');
        assert(error.message.includes(JSON.stringify(transport)));
        assert(error.message.includes('docker://, dir:, oci:'));
        assert(error.hint?.includes(hinted));
        return true;
      },
    );
  });
}

const hinted: readonly (readonly [string, string])[] = [
  ...[
    './image',
    '../image',
    '/var/image',
    '/var/user@host/image',
    '.',
    '..',
    'C:\\image',
    'c:/image',
    'images\\app',
  ].map((path) => [path, `to use a directory, write dir:${path}`] as const),
  ['docker:alpine', 'did you mean docker://alpine, or docker://docker:alpine for the image called docker?'],
  ['docker:/h.io/app:1', 'did you mean docker://h.io/app:1?'],
];

for (const [text, hint] of hinted) {
  test(`hints at ${hint} for ${text}`, () => {
    assert.throws(() => parseImageName(text), { name: 'InvalidReferenceError', code: 'ERR_INVALID_REFERENCE', hint });
  });
}

for (const text of ['', 'dir:', 'docker://', 'docker:///app', 'docker:', 'dir:/a\0b']) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseImageName(text), InvalidReferenceError);
  });
}

const withPasswords: readonly string[] = [
  'docker://user:secret@h.io/app',
  'user:secret@h.io/app:1',
  'user:se/secret@h.io/app',
  'user:se@secret@h.io/app',
  'https://user:secret@h.io/app',
  'docker:/user:secret@h.io/app',
  'docker-archive:user:secret@h.io/app',
];

for (const text of withPasswords) {
  test(`refuses ${text.replace('secret', '…')} without repeating the password`, () => {
    assert.throws(
      () => parseImageName(text),
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
    () => parseImageName('x'.repeat(10_000)),
    (error: Error) => error.message.length < 500,
  );
});
