import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Where to push to. */
export interface Repository {
  /** `http://host:port`, or https. */
  readonly url: string;
  readonly name: string;
}

export interface PushedBlob {
  readonly digest: string;
  readonly size: number;
}

/** Streams a blob into a repository and finds its digest on the way, so that it may be larger than memory. */
export async function pushBlob(repository: Repository, content: AsyncIterable<Buffer>): Promise<PushedBlob> {
  const hash = createHash('sha256');
  let size = 0;
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const chunk of content) {
      hash.update(chunk);
      size += chunk.length;
      yield chunk;
    }
  }
  const uploads = new URL(`/v2/${repository.name}/blobs/uploads/`, repository.url);
  const session = await send('POST', uploads, { wanted: 202 });
  const patched = await send('PATCH', locationOf(session, uploads), { body: Readable.from(hashed()), wanted: 202 });
  const digest = `sha256:${hash.digest('hex')}`;
  const closing = locationOf(patched, uploads);
  closing.searchParams.set('digest', digest);
  await send('PUT', closing, { wanted: 201 });
  return { digest, size };
}

/** Puts a manifest under a tag or a digest. */
export async function pushManifest(
  repository: Repository,
  manifest: Buffer,
  options: { readonly mediaType: string; readonly as: string },
): Promise<void> {
  const url = new URL(`/v2/${repository.name}/manifests/${options.as}`, repository.url);
  await send('PUT', url, { body: Readable.from([manifest]), type: options.mediaType, wanted: 201 });
}

/** Pushes the one image of an OCI layout. @returns the digest of its manifest. */
export async function pushLayout(repository: Repository, tag: string, layout: string): Promise<string> {
  const blob = (digest: string): Promise<Buffer> => readFile(join(layout, 'blobs', digest.replace(':', '/')));
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as Manifests;
  const [entry] = index.manifests;
  if (entry === undefined) throw new Error(`${layout} has no image`);
  const manifest = await blob(entry.digest);
  const { config, layers } = JSON.parse(manifest.toString()) as Manifest;
  for (const { digest } of [config, ...layers]) await pushBlob(repository, Readable.from([await blob(digest)]));
  await pushManifest(repository, manifest, { mediaType: entry.mediaType, as: tag });
  return entry.digest;
}

/** The digest that a tag has, or undefined where there is none. */
export async function tagDigest(repository: Repository, tag: string): Promise<string | undefined> {
  const accept = ['index', 'manifest'].map((kind) => `application/vnd.oci.image.${kind}.v1+json`).join(', ');
  const url = new URL(`/v2/${repository.name}/manifests/${tag}`, repository.url);
  const response = await fetch(url, { method: 'HEAD', headers: { accept } });
  return response.headers.get('docker-content-digest') ?? undefined;
}

interface Manifests {
  readonly manifests: readonly { readonly digest: string; readonly mediaType: string }[];
}

interface Manifest {
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string }[];
}

interface Sending {
  readonly body?: Readable;
  readonly type?: string;
  readonly wanted: number;
}

async function send(method: string, url: URL, { body, type, wanted }: Sending): Promise<IncomingMessage> {
  const sending = (url.protocol === 'https:' ? requestTls : request)(url, {
    method,
    headers: { 'content-type': type ?? 'application/octet-stream' },
  });
  const answered = once(sending, 'response') as Promise<[IncomingMessage]>;
  await pipeline(body ?? Readable.from([]), sending);
  const [response] = await answered;
  response.resume();
  if (response.statusCode !== wanted) throw new Error(`${method} ${url.pathname}: ${response.statusCode}`);
  return response;
}

function locationOf(response: IncomingMessage, base: URL): URL {
  return new URL(response.headers.location ?? '', base);
}
