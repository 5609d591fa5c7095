import { isDigest, type Digest } from '../../../src/digest/digest.ts';
import type { Exchange } from './exchange.ts';
import { multiRangeAnswer } from './multi-range.ts';
import { parseRanges } from './range-header.ts';
import { refusalOf, type RegistryState } from './state.ts';

/** GET, HEAD and DELETE of a blob. */
export async function handleBlob(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  digest: string,
): Promise<void> {
  const blob = registry.store.find(name)?.blobs.get(digest as Digest);
  if (!isDigest(digest)) return await exchange.fail(400, 'DIGEST_INVALID', 'provided digest is not one');
  if (blob === undefined) {
    const { status, code, message = 'blob unknown to registry' } = refusalOf(registry, name, 'blob');
    return await exchange.fail(status, code, message, { digest });
  }
  if (exchange.method === 'DELETE') {
    registry.store.open(name).blobs.delete(digest);
    return await exchange.answer(202);
  }
  if (exchange.method === 'GET' && registry.settings.redirectBlobs !== false) {
    const { signature } = registry.settings;
    const signed = registry.redirects.sign(name, digest);
    return await exchange.answer(307, { location: signature === undefined ? signed : `${signed}&${signature}` });
  }
  await sendBlob(exchange, registry, blob, digest);
}

/** GET of a blob on the storage origin, where a redirect led. */
export async function handleStoredBlob(
  exchange: Exchange,
  registry: RegistryState,
  repository: string,
  digest: string,
): Promise<void> {
  const uses = registry.redirects.use(exchange.query('X-Signature'));
  if (uses === undefined || !exchange.isSigned || (uses > 0 && registry.settings.redirectBlobs === 'single-use')) {
    return await exchange.answer(
      403,
      { 'content-type': 'application/xml' },
      Buffer.from('<Error><Code>AccessDenied</Code></Error>'),
    );
  }
  const blob = registry.store.find(repository)?.blobs.get(digest as Digest);
  if (blob === undefined) return await exchange.answer(404, {}, Buffer.from('<Error><Code>NoSuchKey</Code></Error>'));
  await sendBlob(exchange, registry, blob, digest as Digest);
}

/** Answers with a blob, or the ranges asked for. */
async function sendBlob(exchange: Exchange, registry: RegistryState, blob: Buffer, digest: Digest): Promise<void> {
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    ...(registry.settings.ranges ? { 'accept-ranges': 'bytes' } : {}),
  };
  const asked = registry.settings.ranges ? parseRanges(exchange.header('range'), blob.length) : undefined;
  const first = asked?.[0];
  if (exchange.method === 'HEAD' || asked === undefined) {
    return await exchange.answer(200, headers, exchange.content(blob));
  }
  if (first === undefined) return await refuseRange(exchange, 416, blob.length);
  if (asked.length === 1) {
    const contentRange = exchange.contentRange(`bytes ${first.start}-${first.end}/${blob.length}`);
    const body = exchange.content(blob.subarray(first.start, first.end + 1));
    return await exchange.answer(206, { ...headers, 'content-range': contentRange }, body);
  }
  const answer = multiRangeAnswer(registry.settings.multiRange, asked, blob, (bytes) => exchange.content(bytes));
  if (answer.body === undefined) return await refuseRange(exchange, answer.status, blob.length);
  await exchange.answer(answer.status, { ...headers, ...answer.headers }, answer.body);
}

async function refuseRange(exchange: Exchange, status: number, size: number): Promise<void> {
  const headers = status === 416 ? { 'content-range': `bytes */${size}` } : {};
  await exchange.answer(status, { 'content-type': 'text/plain', ...headers }, Buffer.from('invalid range\n'));
}
