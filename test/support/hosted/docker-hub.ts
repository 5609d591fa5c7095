import { grantTo, tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'octocat', password: 'dckr_pat_x' };

/**
 * Docker Hub. The token server is another host; a repository that is not there is refused as a private one is.
 * @see https://docs.docker.com/docker-hub/usage/pulls/ (the headers of the limit, and that HEAD is free)
 * @see https://github.com/google/go-containerregistry/issues/1741 (400 for a mount from a repository that is not there)
 */
export const dockerHub: HostedShape = {
  name: 'Docker Hub',
  repository: 'octocat/app',
  second: 'octocat/copy',
  forbidden: 'stranger/private',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  hidesMissing: true,
  metersPulls: true,
  mounts: true,
  options: {
    names: {
      reference: 'docker.io',
      registry: 'registry-1.docker.io',
      storage: 'production.cloudflare.docker.com',
    },
    auth: {
      kind: 'bearer',
      ...user,
      refreshToken: 'an-identity-token',
      realm: 'http://auth.docker.io/token',
      tokenField: 'both',
      expiresInSeconds: 300,
      anonymousPull: true,
      grant: grantTo('octocat/', 'library/'),
    },
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'absolute-with-query',
    mountFromUnknown: 400,
  },
  // There is no Retry-After.
  rateLimit: tooManyRequests('You have reached your unauthenticated pull rate limit.', {
    'ratelimit-limit': '100;w=21600',
    'ratelimit-remaining': '0;w=21600',
  }),
};
