import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCliHome } from '../support/imgcopy-command.ts';
import { writeAuthority } from '../support/certificate-files.ts';
import { selfSignedCertificate } from '../support/certificate.ts';
import { buildImage } from '../support/images.ts';
import { startRegistry } from '../support/registry.ts';

const image = buildImage({ layers: { count: 1, size: 1_000 } });
const [one, two] = [selfSignedCertificate(), selfSignedCertificate()];

test('each side of a copy has its own authorities, and an error names the option for its side', async (t) => {
  await using home = await createCliHome();
  await using from = await startRegistry({ tls: one });
  await using to = await startRegistry({ tls: two });
  from.seed('app', '1', image);
  const [first, second] = [await writeAuthority(t, one.cert), await writeAuthority(t, two.cert)];
  const copy = ['-q', `${from.host}/app:1`, `${to.host}/copy:1`];

  const denied = await home.run([...copy, '--src-ca-file', first]);
  assert.equal(denied.status, 1);
  assert.match(denied.stderr, /destination: .* is self-signed.*\n.*--dest-ca-file.*--dest-tls-verify=false/);

  const copied = await home.run([...copy, '--src-ca-file', first, '--dest-ca-file', second]);
  assert.deepEqual([copied.status, copied.stderr], [0, '']);
  assert.deepEqual(to.manifest('copy', '1'), image.manifest);
});

test('a command with one registry names the option without a side', async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry({ tls: one });
  const { status, stderr } = await home.run(['digest', `${registry.host}/app:1`]);
  assert.equal(status, 1);
  assert.match(stderr, /add the certificate with --ca-file, or skip the check with --tls-verify=false/);
});

test('http to a server that speaks TLS is reported, with the option that asked for it', async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.behave({ status: 400, body: 'Client sent an HTTP request to an HTTPS server.\n' });
  const { stderr } = await home.run(['-q', '--src-plain-http', `${registry.host}/app:1`, `dir:${home.path}/out`]);
  assert.match(stderr, /: 400 \(Client sent .*\)\n {2}hint: leave out --src-plain-http: this server speaks TLS /);
});

test('OpenSSL is not quoted, but in stack traces', async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  const args = ['digest', `docker://0.0.0.0:${registry.host.split(':')[1]}/app:1`];
  const { status, stderr } = await home.run(args);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /: the server does not speak TLS\n {2}hint: use --plain-http if this registry has no TLS    \[ERR_TLS\]\n$/,
  );
  const { stderr: debugged } = await home.run([...args, '--debug']);
  assert.match(debugged, /SSL routines/);
});

test('where https failed and http as well, both are reported', async () => {
  await using home = await createCliHome();
  await using registry = await startRegistry();
  registry.behave({ loseAnswer: 'reset' });
  const { stderr } = await home.run(['digest', '--retry-times=0', `${registry.host}/app:1`]);
  assert.match(
    stderr,
    /http:\/\/127\.0\.0\.1:\d+\/v2\/app\/manifests\/1: .*; by https: the server does not speak TLS\n/,
  );
});
