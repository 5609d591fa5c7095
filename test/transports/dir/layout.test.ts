import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestHex, digestOf } from '../../../src/digest/digest.ts';
import {
  blobFileName,
  isLayoutName,
  manifestFileName,
  signedManifestFile,
} from '../../../src/transports/dir/layout.ts';
import { isLockName } from '../../../src/local/directory-lock.ts';
import { isTemporaryName } from '../../../src/local/target-directory.ts';
import { signatureFileName } from '../../../src/transports/dir/signature-files.ts';

const sha256 = digestOf(Buffer.from('content'));
const sha512 = digestOf(Buffer.from('content'), 'sha512');
const hex = digestHex(sha256);
const longHex = digestHex(sha512);

test('names files as the Go transport does (behaviour 73)', () => {
  assert.equal(blobFileName(sha256), hex);
  assert.equal(manifestFileName(sha256), `${hex}.manifest.json`);
  assert.equal(signatureFileName(0), 'signature-1');
  assert.equal(signatureFileName(1, sha256), `${hex}.signature-2`);
  assert.equal(blobFileName(sha512), `sha512-${longHex}`);
  assert.equal(manifestFileName(sha512), `sha512-${longHex}.manifest.json`);
  assert.equal(signatureFileName(0, sha512), `sha512-${longHex}.signature-1`);
});

const layoutNames = [
  'version',
  'manifest.json',
  hex,
  longHex,
  `sha512-${longHex}`,
  `${hex}.manifest.json`,
  `sha512-${longHex}.manifest.json`,
  'signature-1',
  'signature-12',
  `${hex}.signature-1`,
];
for (const name of layoutNames) {
  test(`knows ${name} as a name of the layout`, () => assert.equal(isLayoutName(name), true));
}

const foreignNames = [
  '',
  'Version',
  'manifest.json.bak',
  'index.json',
  hex.slice(1),
  hex.toUpperCase(),
  `${hex}.json`,
  `sha256-${hex}`,
  `sha512-${hex}`,
  'signature-0',
  'signature-',
  `x${hex}.signature-1`,
  `${hex}\n`,
];
for (const name of foreignNames) {
  test(`takes ${JSON.stringify(name)} for somebody's file`, () => {
    assert.equal(isLayoutName(name) || isTemporaryName(name) || isLockName(name), false);
  });
}

test('knows its own temporary names, and no others', () => {
  const own = [
    `.imgcopy-sha256-${hex}.partial`,
    `.imgcopy-sha512-${longHex}.state`,
    '.imgcopy-manifest.json-0a1b2c3d.new',
  ];
  for (const name of own) assert.equal(isTemporaryName(name), true, name);
  for (const name of ['.imgcopy', '.imgcopy.lock', '.imgcopy-notes', 'x.new', '.imgcopy-a/b.new']) {
    assert.equal(isTemporaryName(name), false, name);
  }
});

test('tells which manifest a signature belongs to', () => {
  assert.equal(signedManifestFile('signature-1'), 'manifest.json');
  assert.equal(signedManifestFile(`${hex}.signature-3`), `${hex}.manifest.json`);
  assert.equal(signedManifestFile(hex), undefined);
});
