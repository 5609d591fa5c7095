import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An image on a registry of this process. Names are `127.0.0.1:port/…`, over plain HTTP. */
export interface SampleImage extends AsyncDisposable {
  readonly source: string;
  /** Has the image, too. */
  readonly same: string;
  /** Does not have it, takes it, and forgets it. */
  readonly missing: string;
}

const LAYERS = 5;
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** Serves a small image until it is disposed of. */
export async function serveSampleImage(): Promise<SampleImage> {
  const blobs = new Map<string, Buffer>();
  const add = (text: string, mediaType: string): object => {
    const bytes = Buffer.from(text);
    const digest = digestOf(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layers = Array.from({ length: LAYERS }, (_, index) =>
    add(`layer ${index}`.padEnd(1_000), 'application/vnd.oci.image.layer.v1.tar'),
  );
  const config = add('{}', 'application/vnd.oci.image.config.v1+json');
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers }));

  const server = createServer((request, response) => {
    request.resume().once('end', () => answer(request, response, { blobs, manifest }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    source: `${host}/source:1`,
    same: `${host}/same:1`,
    missing: `${host}/missing:1`,
    async [Symbol.asyncDispose]() {
      server.close().closeAllConnections();
      await once(server, 'close');
    },
  };
}

interface Content {
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly manifest: Buffer;
}

function answer(request: IncomingMessage, response: ServerResponse, { blobs, manifest }: Content): void {
  const { method = '', url = '' } = request;
  const digest = digestOf(manifest);
  if (method === 'POST') {
    response.writeHead(202, { location: `${url.replace(/\?.*/, '')}1` }).end();
  } else if (method === 'PATCH') {
    response.writeHead(202, { location: url }).end();
  } else if (method === 'PUT') {
    response.writeHead(201, url.includes('/manifests/') ? { 'docker-content-digest': digest } : {}).end();
  } else if (url.includes('/missing/')) {
    response.writeHead(404).end();
  } else {
    const blob = blobs.get(url.replace(/.*\//, ''));
    const bytes = url.includes('/manifests/') ? manifest : blob;
    response.writeHead(bytes === undefined ? 404 : 200, {
      'content-type': bytes === manifest ? MANIFEST_TYPE : 'application/octet-stream',
      'content-length': bytes?.length ?? 0,
      ...(bytes === manifest && { 'docker-content-digest': digest }),
    });
    response.end(method === 'HEAD' ? undefined : bytes);
  }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
