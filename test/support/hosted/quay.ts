import { grantTo, type HostedShape } from './shape.ts';

const user = { username: 'octocat+robot', password: 'a-token' };

/**
 * Quay. What may not be read, or is not there, is UNAUTHORIZED although a token was given; the limit is that of its proxy.
 * @see https://github.com/quay/quay/pull/4235 (what is not there)
 * @see https://github.com/containers/container-libs/blob/main/image/docker/docker_image_src.go (CloudFront's boundary)
 */
export const quay: HostedShape = {
  name: 'Quay',
  repository: 'octocat/app',
  second: 'octocat/copy',
  forbidden: 'stranger/private',
  user,
  missing: { tag: 3, repository: 4, anonymous: 4 },
  hidesMissing: true,
  mounts: true,
  options: {
    names: { reference: 'quay.io', storage: 'cdn01.quay.io' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://quay.io/v2/auth',
      oauth2: 405,
      tellsExpiry: false,
      anonymousPull: true,
      grant: grantTo('octocat/', 'public/'),
    },
    missing: {
      repository: { status: 401, code: 'UNAUTHORIZED', message: 'access to the requested resource is not authorized' },
    },
    redirectBlobs: true,
    multiRange: 'unquoted-colon-boundary',
    locations: 'absolute',
  },
  rateLimit: {
    status: 429,
    headers: { 'content-type': 'text/html' },
    body: '<html><head><title>429 Too Many Requests</title></head></html>',
  },
};
