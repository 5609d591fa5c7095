import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ImgcopyError } from '../../src/errors/imgcopy-error.ts';
import {
  checkLayoutFile,
  findImage,
  imageNames,
  LAYOUT_FILE_BYTES,
  layoutBlobPath,
  parseLayoutIndex,
  withImages,
} from '../../src/manifest/image-layout.ts';
import { MediaType } from '../../src/manifest/media-types.ts';
import { digest } from './samples.ts';

const REFERENCE = 'oci:lay';
const REF_NAME = 'org.opencontainers.image.ref.name';

interface Entry {
  readonly of: string;
  readonly name?: string | null;
  readonly fullName?: string;
}

function entry({ of, name, fullName }: Entry): Record<string, unknown> {
  const annotations = {
    ...(name !== undefined && { [REF_NAME]: name }),
    ...(fullName !== undefined && { 'io.containerd.image.name': fullName }),
  };
  return {
    mediaType: MediaType.ociManifest,
    digest: digest(of),
    size: 7,
    ...(Object.keys(annotations).length > 0 && { annotations }),
  };
}

function index(entries: readonly Entry[], indent?: number): Buffer {
  const document = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests: entries.map(entry) };
  return Buffer.from(JSON.stringify(document, null, indent));
}

function images(...entries: readonly Entry[]): ReturnType<typeof parseLayoutIndex> {
  return parseLayoutIndex(index(entries), REFERENCE);
}

function failure(run: () => unknown): Pick<ImgcopyError, 'code' | 'kind' | 'message' | 'hint'> {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ImgcopyError);
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('oci-layout', () => {
  test('what imgcopy writes is read, and so are other versions 1', () => {
    checkLayoutFile(LAYOUT_FILE_BYTES, REFERENCE);
    checkLayoutFile(Buffer.from('{"imageLayoutVersion": "1.1.0", "more": true}\n'), REFERENCE);
  });

  for (const text of [
    '{}',
    '{"imageLayoutVersion":"2.0.0"}',
    '{"imageLayoutVersion":"1"}',
    '{"imageLayoutVersion":null}',
  ]) {
    test(`${text} is another version`, () => {
      const { code, message } = failure(() => checkLayoutFile(Buffer.from(text), REFERENCE));
      assert.equal(code, 'ERR_LAYOUT_VERSION');
      assert.match(message, /oci-layout file of oci:lay .* expected 1\.0\.0/);
    });
  }

  for (const text of ['', '[]', 'null', '{"imageLayoutVersion":1}', '{']) {
    test(`${JSON.stringify(text)} is invalid`, () => {
      assert.equal(failure(() => checkLayoutFile(Buffer.from(text), REFERENCE)).code, 'ERR_INVALID_LAYOUT');
    });
  }
});

describe('index.json', () => {
  test('lists images with and without names, in its order', () => {
    const listed = images({ of: 'a', name: 'v1' }, { of: 'b' }, { of: 'c', name: 'registry.test/app:1' });
    assert.deepEqual(
      listed.map(({ name, descriptor }) => [name, descriptor.digest]),
      [
        ['v1', digest('a')],
        [undefined, digest('b')],
        ['registry.test/app:1', digest('c')],
      ],
    );
    assert.deepEqual(imageNames(listed), ['v1', 'registry.test/app:1']);
  });

  test('may leave out its media type, and have null for an empty list', () => {
    assert.deepEqual(parseLayoutIndex(Buffer.from('{"schemaVersion":2,"manifests":null}'), REFERENCE), []);
  });

  for (const text of [
    '',
    '[]',
    '7',
    '{}',
    '{"manifests":{}}',
    '{"manifests":[7]}',
    '{"manifests":[{"mediaType":"a/b","digest":"sha256:../../x","size":1}]}',
    `{"manifests":[{"mediaType":"a/b","digest":"${digest('a')}","size":1,"annotations":{"${REF_NAME}":7}}]}`,
    `{"manifests":[],"layers":[]}`,
    `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"${digest('a')}","size":1},"layers":[]}`,
    ' '.repeat(4 * 1024 * 1024 + 1),
  ]) {
    test(`${text.slice(0, 120)} is invalid`, () => {
      const { code, message } = failure(() => parseLayoutIndex(Buffer.from(text), REFERENCE));
      assert.equal(code, 'ERR_INVALID_LAYOUT');
      assert.match(message, /^the index\.json file of oci:lay is/);
    });
  }
});

describe('finding an image', () => {
  const several = images({ of: 'a', name: 'v1' }, { of: 'b', name: 'v2' }, { of: 'c' });

  test('by name, by digest, and the only one by neither', () => {
    assert.equal(findImage(several, { name: 'v2' }, REFERENCE)?.descriptor.digest, digest('b'));
    assert.equal(findImage(several, { digest: digest('c') }, REFERENCE)?.descriptor.digest, digest('c'));
    assert.equal(findImage(images({ of: 'a', name: 'v1' }), {}, REFERENCE)?.descriptor.digest, digest('a'));
  });

  test('two names of one image are one image', () => {
    const one = images({ of: 'a', name: 'v1' }, { of: 'a', name: 'latest' });
    assert.equal(findImage(one, {}, REFERENCE)?.descriptor.digest, digest('a'));
  });

  test('images without a name do not count beside one that has a name', () => {
    const one = images({ of: 'instance' }, { of: 'a', name: 'v1' }, { of: 'old' });
    assert.equal(findImage(one, {}, REFERENCE)?.descriptor.digest, digest('a'));
    const saved = images({ of: 'instance' }, { of: 'a', fullName: 'docker.io/library/app:1' });
    assert.equal(findImage(saved, {}, REFERENCE)?.descriptor.digest, digest('a'));
    const signed = images({ of: 'a', name: 'v1' }, { of: 's', name: `${digest('a').replace(':', '-')}.sig` });
    assert.equal(findImage(signed, {}, REFERENCE)?.descriptor.digest, digest('a'));
    const { message } = failure(() => findImage(images({ of: 'a' }, { of: 'b' }), {}, REFERENCE));
    assert.equal(message, `oci:lay has several images: ${digest('a')}, ${digest('b')}`);
  });

  test('a digest that is not listed may be that of a manifest below', () => {
    assert.equal(findImage(several, { digest: digest('x') }, REFERENCE), undefined);
  });

  test('several and no name: the error lists what there is, and shows how to name one', () => {
    const { code, kind, message, hint } = failure(() => findImage(several, {}, REFERENCE));
    assert.equal(code, 'ERR_SEVERAL_IMAGES');
    assert.equal(kind, 'usage');
    assert.equal(message, `oci:lay has several images: v1, v2, ${digest('c')}`);
    assert.equal(hint, 'name one of them: oci:lay:v1');
  });

  test('a thousand images do not make a thousand lines', () => {
    const many = images(...Array.from({ length: 1000 }, (_, at) => ({ of: `${at}`, name: `v${at}` })));
    assert.match(failure(() => findImage(many, {}, REFERENCE)).message, /v0, .*, v19 and 980 more$/);
  });

  test('a name that is not there', () => {
    const { code, kind, message } = failure(() => findImage(several, { name: 'v9' }, REFERENCE));
    assert.equal(code, 'ERR_IMAGE_NOT_FOUND');
    assert.equal(kind, 'not-found');
    assert.equal(message, `oci:lay has no image named "v9"; it has v1, v2, ${digest('c')}`);
  });

  test('a layout without an image', () => {
    const { kind, message } = failure(() => findImage([], {}, REFERENCE));
    assert.equal(kind, 'not-found');
    assert.equal(message, 'oci:lay holds no image');
  });

  test('names cannot steer a terminal', () => {
    const odd = images({ of: 'a', name: 'v1\u001b[31m\nv2' }, { of: 'b' });
    const { message, hint } = failure(() => findImage(odd, { name: 'none' }, REFERENCE));
    assert.doesNotMatch(`${message}${hint}`, /\p{Cc}/u);
  });

  test('the same name for two images: digests tell them apart', () => {
    const twice = images({ of: 'a', name: 'v1' }, { of: 'b', name: 'v1' });
    const { code, message, hint } = failure(() => findImage(twice, { name: 'v1' }, REFERENCE));
    assert.equal(code, 'ERR_SEVERAL_IMAGES');
    assert.equal(message, `oci:lay has several images named "v1": ${digest('a')}, ${digest('b')}`);
    assert.equal(hint, `name one of them: oci:lay@${digest('a')}`);
    assert.deepEqual(imageNames(twice), ['v1']);
    assert.equal(findImage(twice, { name: 'v1', digest: digest('b') }, REFERENCE)?.descriptor.digest, digest('b'));
  });

  test('the same tag of two repositories: the full names tell them apart', () => {
    const saved = images(
      { of: 'a', name: '1', fullName: 'docker.io/library/app:1' },
      { of: 'b', name: '1', fullName: 'docker.io/library/web:1' },
    );
    assert.deepEqual(imageNames(saved), ['docker.io/library/app:1', 'docker.io/library/web:1']);
    const { message } = failure(() => findImage(saved, { name: '1' }, REFERENCE));
    assert.match(message, /several images named "1": docker\.io\/library\/app:1, docker\.io\/library\/web:1$/);
    const found = findImage(saved, { name: 'docker.io/library/web:1' }, REFERENCE);
    assert.equal(found?.descriptor.digest, digest('b'));
  });

  test('name and digest of two images: what the name holds, for the caller to compare', () => {
    const found = findImage(several, { name: 'v1', digest: digest('b') }, REFERENCE);
    assert.equal(found?.descriptor.digest, digest('a'));
  });
});

describe('listing images', () => {
  const a = { mediaType: MediaType.ociManifest, digest: digest('a'), size: 7 };
  const b = { mediaType: MediaType.dockerManifest, digest: digest('b'), size: 8 };
  const namesOf = (bytes: Buffer): readonly (readonly [string | undefined, string])[] =>
    parseLayoutIndex(bytes, REFERENCE).map(({ name, descriptor }) => [name, descriptor.digest]);

  test('in a new index', () => {
    const bytes = withImages(undefined, [
      { descriptor: a, name: 'v1' },
      { descriptor: b, name: undefined },
    ]);
    assert.deepEqual(JSON.parse(bytes.toString()), {
      schemaVersion: 2,
      mediaType: MediaType.ociIndex,
      manifests: [{ ...a, annotations: { [REF_NAME]: 'v1' } }, b],
    });
  });

  test('a name that is taken goes to the new image, wherever it was', () => {
    const before = index([
      { of: 'x', name: 'v1' },
      { of: 'y', name: 'v2' },
      { of: 'z', name: 'v1' },
    ]);
    assert.deepEqual(namesOf(withImages(before, [{ descriptor: a, name: 'v1' }])), [
      ['v2', digest('y')],
      ['v1', digest('a')],
    ]);
  });

  test('what is listed already leaves the bytes as they are', () => {
    const before = Buffer.from(`${index([{ of: 'a', name: 'v1' }], 3).toString()}\n`);
    assert.equal(withImages(before, [{ descriptor: a, name: 'v1' }]), before);
    assert.equal(withImages(before, [{ descriptor: a, name: undefined }]), before);
  });

  test('an image without a name gets one, and keeps what else is said of it', () => {
    const before = index([{ of: 'a', fullName: 'docker.io/library/app:1' }]);
    const after = withImages(before, [{ descriptor: a, name: 'v1' }]);
    assert.deepEqual(parseLayoutIndex(after, REFERENCE)[0]?.fullName, 'docker.io/library/app:1');
    assert.deepEqual(namesOf(after), [['v1', digest('a')]]);
  });

  test('fields that we do not know, and the indentation, stay', () => {
    const document = {
      schemaVersion: 2,
      manifests: [{ ...entry({ of: 'x' }), data: 'e30=', odd: [1] }],
      annotations: { k: 'v' },
    };
    const after = withImages(Buffer.from(JSON.stringify(document, null, 2)), [{ descriptor: a, name: 'v1' }]);
    const expected = { ...document, manifests: [...document.manifests, { ...a, annotations: { [REF_NAME]: 'v1' } }] };
    assert.equal(after.toString(), JSON.stringify(expected, null, 2));
  });

  test('in an index whose list is null', () => {
    const after = withImages(Buffer.from('{"schemaVersion":2,"manifests":null}'), [{ descriptor: a, name: 'v1' }]);
    assert.deepEqual(namesOf(after), [['v1', digest('a')]]);
  });
});

test('blobs lie by algorithm', () => {
  assert.match(layoutBlobPath(digest('a')), /^blobs\/sha256\/[0-9a-f]{64}$/);
  assert.equal(layoutBlobPath(`sha512:${'a'.repeat(128)}`), `blobs/sha512/${'a'.repeat(128)}`);
});
