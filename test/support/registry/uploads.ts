import type { OutgoingHttpHeaders } from 'node:http';
import { digestAlgorithm, digestOf, isDigest, type Digest } from '../../../src/digest/digest.ts';
import type { Exchange } from './exchange.ts';
import { ConnectionGone } from './faults.ts';
import type { BodyLimit } from './options.ts';
import { isPushable, type RegistryState } from './state.ts';
import type { UploadSession } from './upload-sessions.ts';

/** POST: opens an upload session, or mounts a blob. `POST ?digest=` opens a session too, as distribution has it. */
export async function startUpload(exchange: Exchange, registry: RegistryState, name: string): Promise<void> {
  if (!(await isPushable(exchange, registry, name))) return;
  const mount = exchange.query('mount');
  if (mount !== undefined && (await answerMount(exchange, registry, name, mount as Digest))) return;
  const session = registry.sessions.start(name, exchange.query('digest-algorithm'));
  const { chunkMinLength } = registry.settings;
  await exchange.answer(202, {
    ...sessionHeaders(registry, session),
    ...(chunkMinLength === undefined ? {} : { 'oci-chunk-min-length': chunkMinLength }),
  });
}

/** PATCH, PUT, GET and DELETE of an open session. */
export async function handleUpload(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  id: string,
): Promise<void> {
  const session = registry.sessions.find(name, id);
  if (session === undefined) return await exchange.fail(404, 'BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry');
  if (!exchange.isSigned) return await exchange.fail(403, 'DENIED', 'the signature does not match');
  const { method } = exchange;
  if (method === 'PATCH') return await patchUpload(exchange, registry, session);
  if (method === 'PUT') return await closeUpload(exchange, registry, session);
  if (method === 'DELETE') registry.sessions.end(session);
  await exchange.answer(204, sessionHeaders(registry, session));
}

/** @returns whether the request is answered; if not, a session is to be opened. */
async function answerMount(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  digest: Digest,
): Promise<boolean> {
  const from = exchange.query('from');
  const isKnown = from === undefined || registry.store.find(from) !== undefined;
  const { mount: usual, mountFromUnknown } = registry.settings;
  const mount = isKnown ? usual : (mountFromUnknown ?? usual);
  const blob = from === undefined ? undefined : registry.store.find(from)?.blobs.get(digest);
  if (typeof mount === 'number') {
    await exchange.fail(mount, mount === 405 ? 'UNSUPPORTED' : 'BLOB_UNKNOWN', 'cross-repository mount refused');
    return true;
  }
  if (mount === 'lie' || (mount === 'spec' && blob !== undefined)) {
    if (blob !== undefined) registry.store.open(name).blobs.set(digest, blob);
    await exchange.answer(201, createdHeaders(name, digest));
    return true;
  }
  return false;
}

async function patchUpload(exchange: Exchange, registry: RegistryState, session: UploadSession): Promise<void> {
  const { patch, patchStatus, staleRange, severalPatches, maxRangedPatch = Infinity } = registry.settings;
  if (typeof patch === 'number') return await refuseWay(exchange, patch);
  if (!severalPatches && session.bytes > 0)
    return await exchange.fail(400, 'UNSUPPORTED', 'chunked uploads are not supported');
  if (exchange.header('content-range') !== undefined && Number(exchange.header('content-length')) > maxRangedPatch)
    return await exchange.fail(416, 'BLOB_UPLOAD_INVALID', 'the chunk is too large');
  const before = session.bytes;
  if (await takeBody(exchange, registry, session, patch === 'ok' ? undefined : patch)) {
    const stale = staleRange ? { range: `0-${Math.max(0, before - 1)}` } : {};
    await exchange.answer(patchStatus, { ...sessionHeaders(registry, session), ...stale });
  }
}

async function closeUpload(exchange: Exchange, registry: RegistryState, session: UploadSession): Promise<void> {
  const { monolithic } = registry.settings;
  const digest = exchange.query('digest') ?? '';
  if (!isDigest(digest)) return await exchange.fail(400, 'DIGEST_INVALID', 'provided digest is missing or none');
  const limit = typeof monolithic === 'object' ? monolithic : undefined;
  const isRefused = hasBody(exchange) && monolithic !== 'ok' && limit === undefined;
  const isOtherHash = session.bytes > 0 && session.algorithm !== digestAlgorithm(digest);
  if (registry.settings.needsDigestAlgorithm && isOtherHash)
    return await exchange.fail(400, 'DIGEST_INVALID', 'the upload is hashed by another algorithm');
  if (isRefused) return await refuseWay(exchange, typeof monolithic === 'number' ? monolithic : 405);
  if (!(await takeBody(exchange, registry, session, limit))) return;
  registry.sessions.end(session);
  const bytes = session.content();
  if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
    return await exchange.fail(400, 'DIGEST_INVALID', 'provided digest did not match uploaded content', { digest });
  }
  registry.store.open(session.repository).blobs.set(digest, bytes);
  await exchange.answer(201, createdHeaders(session.repository, digest));
}

/** Appends the request's body to the session. @returns false when it was refused, and that has been answered. */
async function takeBody(
  exchange: Exchange,
  registry: RegistryState,
  session: UploadSession,
  limit: BodyLimit | undefined,
): Promise<boolean> {
  const { maxBytes = Infinity } = limit ?? {};
  if (Number(exchange.header('content-length') ?? 0) > maxBytes) return await refuseSize(exchange);
  if (!isAtOffset(exchange, registry, session)) return await refuseOffset(exchange, registry, session);
  if (exchange.method === 'PATCH' && session.endsShort) {
    await exchange.fail(400, 'SIZE_INVALID', 'the chunk before was shorter than OCI-Chunk-Min-Length');
    return false;
  }
  const before = session.bytes;
  try {
    for await (const chunk of exchange.body()) {
      session.append(chunk);
      if (session.bytes - before > maxBytes) {
        session.truncate(before);
        return await refuseSize(exchange);
      }
    }
  } catch (error) {
    if (error instanceof ConnectionGone && !registry.settings.keepCutSessions) registry.sessions.end(session);
    throw error;
  }
  session.endsShort = session.bytes - before < (registry.settings.chunkMinLength ?? 0);
  return true;
}

/** Whether the request continues the session where it stands, by its Content-Range and by the `_state` of its URL. */
function isAtOffset(exchange: Exchange, registry: RegistryState, session: UploadSession): boolean {
  const contentRange = exchange.header('content-range');
  if (contentRange !== undefined) {
    const [, start, end] = /^(?:bytes )?(\d+)-(\d+)/.exec(contentRange) ?? [];
    if (Number(start) !== session.bytes) return false;
    if (Number(exchange.header('content-length')) !== Number(end) - Number(start) + 1) return false;
  }
  return !hasState(registry) || exchange.query('_state') === stateOf(session);
}

/** distribution v3 keeps the session, 2.8 gives it up. */
async function refuseOffset(exchange: Exchange, registry: RegistryState, session: UploadSession): Promise<false> {
  if (registry.settings.keepCutSessions) {
    await exchange.fail(416, 'RANGE_INVALID', 'invalid content range');
  } else {
    registry.sessions.end(session);
    await exchange.fail(404, 'BLOB_UPLOAD_INVALID', 'blob upload invalid');
  }
  return false;
}

async function refuseWay(exchange: Exchange, status: number): Promise<void> {
  // Artifactory's words under 404.
  const code = status === 404 ? 'BLOB_UNKNOWN' : 'UNSUPPORTED';
  await exchange.fail(status, code, 'the operation is unsupported');
}

/** As a proxy in front of the registry does it. */
async function refuseSize(exchange: Exchange): Promise<false> {
  await exchange.answer(413, { 'content-type': 'text/html' }, Buffer.from('<h1>413 Request Entity Too Large</h1>'));
  return false;
}

function hasBody(exchange: Exchange): boolean {
  return exchange.header('transfer-encoding') !== undefined || Number(exchange.header('content-length') ?? 0) > 0;
}

function sessionHeaders(registry: RegistryState, session: UploadSession): OutgoingHttpHeaders {
  const { locations, signature, uploadPrefix } = registry.settings;
  const path = `${uploadPrefix}/v2/${session.repository}/blobs/uploads/${session.id}`;
  const origins = {
    absolute: registry.urlOf('registry'),
    'absolute-with-query': registry.urlOf('registry'),
    'other-origin': registry.urlOf('storage'),
    relative: '',
    'with-query': '',
  };
  return {
    location: `${origins[locations]}${path}${queryOf(hasState(registry) && `_state=${stateOf(session)}`, signature)}`,
    // An empty session is 0-0 as well. @see https://github.com/opencontainers/distribution-spec/issues/577
    range: `0-${Math.max(0, session.bytes - 1)}`,
    'docker-upload-uuid': session.id,
  };
}

function hasState({ settings: { locations } }: RegistryState): boolean {
  return locations === 'with-query' || locations === 'absolute-with-query';
}

function queryOf(state: string | false, signature: string | undefined): string {
  if (signature !== undefined) return `?${state === false ? '' : state}&${signature}`;
  return state === false ? '' : `?${state}`;
}

function stateOf(session: UploadSession): string {
  return `${session.id}.${session.bytes}`;
}

function createdHeaders(repository: string, digest: Digest): OutgoingHttpHeaders {
  return { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest };
}
