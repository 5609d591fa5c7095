import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildImage } from '../support/images.ts';
import { filesOf, isWhole, writeImage } from '../transports/dir/image-directory.ts';
import { good, layer, openBadInputStage, withLayer, type BadInputStage } from './bad-input-stage.ts';

/** The image that lies at each destination before a run, and must be there after it. */
const old = buildImage({ layers: { count: 1, size: 2_000, seed: 'old' } });

let opened: BadInputStage;

before(async () => {
  opened = await openBadInputStage();
});

after(async () => {
  await opened[Symbol.asyncDispose]();
});

interface BadInput {
  readonly name: string;
  /** The source, and options. */
  readonly args: (stage: BadInputStage) => readonly string[] | Promise<readonly string[]>;
  readonly status: number;
  readonly code: string;
  /** What the message tells: the side or the text that is wrong, the request, what to do. */
  readonly tells: readonly RegExp[];
}

const inputs: readonly BadInput[] = [
  {
    name: 'a transport that is unknown',
    args: () => ['docker-daemon:image:1'],
    status: 2,
    code: 'ERR_UNKNOWN_TRANSPORT',
    tells: [
      /unknown transport "docker-daemon:" in "docker-daemon:image:1"/,
      /supported are docker:\/\/.*dir:.*oci:/,
      /hint: use a pipe: docker save image:1 \| imgcopy - DST/,
    ],
  },
  {
    name: 'a reference that is malformed',
    args: ({ registry }) => [`${registry.host}/App:1`],
    status: 2,
    code: 'ERR_INVALID_REFERENCE',
    tells: [/invalid reference ".*\/App:1"/, /upper-case/, /hint: repositories are lower-case: docker:\/\/.*\/app/],
  },
  {
    name: 'a tag that does not exist',
    args: ({ registry }) => [`${registry.host}/app:none`],
    status: 3,
    code: 'ERR_NOT_FOUND',
    tells: [
      /source: GET http:\/\/.*\/v2\/app\/manifests\/none: 404/,
      /MANIFEST_UNKNOWN/,
      /imgcopy tags [\d.:]+\/app lists/,
    ],
  },
  {
    name: 'a repository that does not exist',
    args: ({ registry }) => [`${registry.host}/none:1`],
    status: 3,
    code: 'ERR_NOT_FOUND',
    tells: [/source: GET .*\/v2\/none\/manifests\/1: 404/, /hint: check the name/],
  },
  {
    name: 'a platform that the image is not for',
    args: ({ registry }) => [`${registry.host}/app:index`, '--platform=linux/riscv64'],
    status: 3,
    code: 'ERR_PLATFORM_NOT_FOUND',
    tells: [/no image for linux\/riscv64 in docker:\/\/.*\/app:index/, /found linux\/amd64, linux\/arm64/],
  },
  {
    name: 'a registry that wants credentials',
    args: ({ locked }) => [`${locked.host}/app:1`],
    status: 4,
    code: 'ERR_TOKEN_REQUEST',
    tells: [/source: .*GET http:\/\/.*\/token: 401/, /hint: log in with imgcopy login/],
  },
  {
    name: 'credentials that are wrong',
    args: ({ locked }) => [`${locked.host}/app:1`, '--src-creds=bob:s3cret'],
    status: 4,
    code: 'ERR_TOKEN_REQUEST',
    tells: [/source: .*GET http:\/\/.*\/token: 401/, /hint: /],
  },
  {
    name: 'a host that nobody listens on',
    args: ({ closedPort }) => [`127.0.0.1:${closedPort}/app:1`, '--retry-times=0'],
    status: 1,
    code: 'ERR_CONNECTION_REFUSED',
    tells: [/source: GET .*\/v2\/app\/manifests\/1: .*ECONNREFUSED/, /hint: check host and port/],
  },
  {
    name: 'a host that does not resolve',
    args: () => ['registry.invalid/app:1', '--retry-times=0'],
    status: 1,
    code: 'ERR_NAME_NOT_RESOLVED',
    tells: [/source: GET https:\/\/registry\.invalid\/v2\/app/, /hint: check the name of the registry/],
  },
  {
    name: 'a certificate that nobody trusts',
    args: ({ secure }) => [`${secure.host}/app:1`],
    status: 1,
    code: 'ERR_TLS_CERTIFICATE',
    tells: [/source: \w+ https:\/\/.*: .*certificate/, /hint: .*--src-ca-file.*--src-tls-verify=false/],
  },
  {
    name: 'a directory that does not exist',
    args: ({ home }) => [`dir:${join(home.path, 'none')}`],
    status: 3,
    code: 'ERR_NOT_AN_IMAGE',
    tells: [/source: dir:.*\/none does not exist/],
  },
  {
    name: 'a directory that is no image',
    args: async (stage) => [`dir:${await stage.directory('no-image', [['notes.txt', 'hello']])}`],
    status: 3,
    code: 'ERR_NOT_AN_IMAGE',
    tells: [/source: dir:.*\/no-image is not an image directory: it has no manifest\.json/, /hint: /],
  },
  {
    name: 'an OCI layout given as dir:',
    args: async (stage) => [`dir:${await stage.directory('oci', [['oci-layout', '{}']])}`],
    status: 3,
    code: 'ERR_NOT_AN_IMAGE',
    tells: [/source: dir:.*\/oci is not an image directory/, /hint: it is an OCI image layout: oci:/],
  },
  {
    name: 'a directory whose manifest is no manifest',
    args: async (stage) => [`dir:${await stage.directory('garbage', [['manifest.json', '[]']])}`],
    status: 1,
    code: 'ERR_INVALID_MANIFEST',
    tells: [/copying dir:.*\/garbage to /, /invalid manifest/],
  },
  {
    name: 'a directory with a blob missing',
    args: async (stage) => [`dir:${await stage.directory('missing', withLayer(undefined))}`],
    status: 3,
    code: 'ERR_BLOB_NOT_FOUND',
    tells: [
      new RegExp(`copying layer ${layer}`),
      /dir:.*\/missing is missing blob/,
      /hint: .*copy the image there again/,
    ],
  },
  {
    name: 'a directory with a blob that is too short',
    args: async (stage) => [`dir:${await stage.directory('short', withLayer(Buffer.alloc(100)))}`],
    status: 5,
    code: 'ERR_CONTENT_MISMATCH',
    tells: [new RegExp(`copying layer ${layer}`), /expected 20000 bytes, found 100 bytes/],
  },
  {
    name: 'a directory with a blob that was altered',
    args: async (stage) => [`dir:${await stage.directory('altered', withLayer(Buffer.alloc(20_000)))}`],
    status: 5,
    code: 'ERR_CONTENT_MISMATCH',
    tells: [new RegExp(`copying layer ${layer}`), new RegExp(`expected ${layer}, found sha256:`)],
  },
  {
    name: 'a directory with another image than the digest says',
    args: async (stage) => [`dir:${await stage.directory('other', filesOf(good))}@${old.manifest.digest}`],
    status: 5,
    code: 'ERR_CONTENT_MISMATCH',
    tells: [/dir:.*\/other/, new RegExp(`expected ${old.manifest.digest}, found ${good.manifest.digest}`)],
  },
  {
    name: 'a manifest of more than 4 MiB',
    args: ({ registry }) => [`${registry.host}/huge:1`],
    status: 1,
    code: 'ERR_ANSWER_TOO_LARGE',
    tells: [/source: GET .*\/v2\/huge\/manifests\/1: the answer has 4194305 bytes/, /at most 4194304/],
  },
  {
    name: 'a web page in place of a manifest',
    args: ({ registry }) => [`${registry.host}/page:1`],
    status: 1,
    code: 'ERR_INVALID_MANIFEST',
    tells: [/reading the manifest of .*\/page:1/, /invalid manifest/, /hint: check host and port/],
  },
  {
    name: 'a manifest that does not match its digest',
    args: ({ registry }) => [`${registry.host}/wrong-manifest@${good.manifest.digest}`],
    status: 5,
    code: 'ERR_CONTENT_MISMATCH',
    tells: [/the manifest of docker:\/\/.*\/wrong-manifest@/, new RegExp(`expected ${good.manifest.digest}, found`)],
  },
  {
    name: 'a blob that does not match its digest',
    args: ({ registry }) => [`${registry.host}/wrong-blob:1`, '--retry-delay=1ms'],
    status: 5,
    code: 'ERR_CONTENT_MISMATCH',
    tells: [new RegExp(`copying layer ${layer}`), new RegExp(`expected ${layer}, found sha256:`)],
  },
  {
    name: 'a registry that limits the rate for good',
    args: ({ registry }) => [`${registry.host}/busy:1`, '--retry-delay=1ms'],
    status: 6,
    code: 'ERR_RATE_LIMITED',
    tells: [/source: GET .*\/v2\/busy\/manifests\/1: 429/, /hint: .*try again later/],
  },
  {
    name: 'a registry that is out of order',
    args: ({ registry }) => [`${registry.host}/broken:1`, '--retry-delay=1ms'],
    status: 1,
    code: 'ERR_REGISTRY_FAULT',
    tells: [/source: GET .*\/v2\/broken\/manifests\/1: 500 \(out of order\)/, /hint: /],
  },
  {
    name: 'an answer that would steer the terminal',
    args: ({ registry }) => [`${registry.host}/rude:1`],
    status: 1,
    code: 'ERR_REGISTRY_REFUSED',
    tells: [/source: GET .*: 418 \(\[2J \]0;title teapot +desrever\)/],
  },
];

describe('bad input', { concurrency: 4 }, () => {
  for (const [number, { name, args, status, code, tells }] of inputs.entries()) {
    test(`${name} ends with status ${status}, says so, and leaves destinations as they were`, async () => {
      const { home, target } = opened;
      const path = join(home.path, `old-${number}`);
      await writeImage(path, old);
      target.seed(`app-${number}`, '1', old);
      const source = await args(opened);
      // Both kinds of destination in turn, for each run takes its time.
      const destination = number % 2 === 0 ? `dir:${path}` : `${target.host}/app-${number}:1`;

      const { stdout, stderr, status: found } = await home.run([...source, destination]);

      assert.deepEqual({ stdout, found }, { stdout: '', found: status }, stderr);
      const paragraph = stderr.slice(stderr.indexOf('imgcopy: '));
      assert.match(paragraph, /^imgcopy: [^\n]+\n(?: {2}[^\n]+\n)*$/, 'one paragraph, and nothing after it');
      for (const expected of [...tells, new RegExp(`\\[${code}\\]\n$`)]) assert.match(paragraph, expected);
      assert.doesNotMatch(stderr, /[^\P{C}\n]|s3cret/u, 'neither control characters nor secrets are printed');
      assert.equal(await isWhole(path, old), true);
      assert.equal(target.manifest(`app-${number}`, '1')?.digest, old.manifest.digest);
      assert.deepEqual(await temporaryFiles(path), []);
    });
  }
});

async function temporaryFiles(path: string): Promise<readonly string[]> {
  return (await readdir(path)).filter((name) => name.startsWith('.'));
}
