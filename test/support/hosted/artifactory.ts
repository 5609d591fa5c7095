import { tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'octocat', password: 'an-identity-token' };

/**
 * Artifactory. A blob that is not there is forbidden, and a PUT with the whole blob is unknown to older versions.
 * @see https://www.jfrog.com/jira/browse/RTFACT-13797 (403 for what is not there)
 * @see https://github.com/docker/buildx/issues/196 (404 BLOB_UNKNOWN to a PUT with a body)
 */
export const artifactory: HostedShape = {
  name: 'Artifactory',
  repository: 'docker-local/app',
  second: 'docker-local/copy',
  forbidden: 'secret-local/app',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  mounts: false,
  options: {
    names: { reference: 'example.jfrog.io', storage: 'jfrog-prod-euc1.s3.amazonaws.com' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://example.jfrog.io/v2/token',
      oauth2: false,
      expiresInSeconds: 3600,
      grant: (_user, repository) => repository.startsWith('docker-local/'),
    },
    missing: { blob: { status: 403, code: 'DENIED', message: 'The client does not have permission' } },
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'absolute',
    monolithic: 404,
    mount: 'always-202',
  },
  rateLimit: tooManyRequests('Too many requests'),
};
