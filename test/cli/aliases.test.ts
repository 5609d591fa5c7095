import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutAliases } from '../../src/cli/aliases.ts';
import { formatPlatform, ImgcopyError, parsePlatform } from '../../src/index.ts';

const local = formatPlatform(parsePlatform('local'));

/** What is typed, and what it is taken for. */
const cases: readonly (readonly [typed: string, taken: string])[] = [
  ['a b', 'a b'],
  ['a b --jobs 3 -q', 'a b --jobs 3 -q'],
  ['a b --from-username u --to-password p', 'a b --src-username u --dest-password p'],
  ['a b --from-registry-config f --registry-config=g', 'a b --src-authfile f --authfile=g'],
  ['a b --from-insecure --to-plain-http', 'a b --src-tls-verify=false --dest-plain-http'],
  ['a b --from-ca-file f --to-password-stdin', 'a b --src-ca-file f --password-stdin'],
  ['a b --insecure', 'a b --tls-verify=false'],
  ['a b --concurrency 3', 'a b --jobs 3'],
  ['a b --image-parallel-copies=3', 'a b --jobs=3'],
  ['a b --no-tty', 'a b --progress=plain'],
  ['a b --include-external', 'a b --allow-nondistributable-artifacts'],
  ['a b --platforms linux/amd64,linux/arm64', 'a b --platform linux/amd64,linux/arm64'],
  ['a b --platform all', 'a b'],
  ['a b --platform=all', 'a b'],
  ['a b --platform linux/amd64', 'a b --platform linux/amd64'],
  ['a b --tls-verify', 'a b --tls-verify=true'],
  ['--src-tls-verify a b', '--src-tls-verify=true a b'],
  ['a b --tls-verify false', 'a b --tls-verify=false'],
  ['a b --dest-tls-verify=false', 'a b --dest-tls-verify=false'],
  ['a b --multi-arch all', 'a b'],
  ['a b --multi-arch=system', 'a b --platform=local'],
  ['--override-os windows --override-arch=arm64 --override-variant v8 a b', 'a b --platform=windows/arm64/v8'],
  ['a b --override-os linux', `a b --platform=linux/${local.split('/').slice(1).join('/')}`],
  ['--insecure-policy --policy p.json --tmpdir /t a b --dest-precompute-digests', 'a b'],
  ['--policy=p.json a b', 'a b'],
  ['a b --insecure-policy=true --disable-content-trust=false', 'a b'],
  ['a b -d --recursive', 'a b --debug --referrers'],
  ['a b --digest-tags --force-recursive --fast', 'a b --referrers --force'],
  ['a b --from-distribution-spec v1.1-referrers-tag --to-distribution-spec=v1.1-referrers-api', 'a b'],
  ['referrers a --artifact-type t --filter-artifact-type=u', 'referrers a --referrers-type t --referrers-type=u'],
  ['login h --user u --pass-stdin', 'login h --username u --password-stdin'],
  ['login h --user=u --pass=p', 'login h --username=u --password=p'],
  ['inspect a --no-tags', 'inspect a'],
  ['digest a --require-digest', 'digest a'],
  ['a --concurrency 2 -- --insecure --concurrency', 'a --jobs 2 -- --insecure --concurrency'],
  ['a b --creds u:p=q --from-insecure', 'a b --creds u:p=q --src-tls-verify=false'],
];

for (const [typed, taken] of cases) {
  test(`${typed} is taken for ${taken}`, () => {
    assert.deepEqual(withoutAliases(typed.split(' ')), taken.split(' '));
  });
}

test('an index without its instances is refused, for imgcopy would copy them', () => {
  assert.throws(
    () => withoutAliases(['a', 'b', '--multi-arch', 'index-only']),
    (error) => error instanceof ImgcopyError && error.kind === 'usage' && error.message.includes('index-only'),
  );
});
