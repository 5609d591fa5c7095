import { grantTo, type HostedShape } from './shape.ts';

const user = { username: 'gitlab-ci-token', password: 'glcbt-x' };

/**
 * GitLab. The token server is GitLab itself, on another host. A repository without images is refused, also to who may push the first one.
 * @see https://github.com/containers/image/issues/1265 and https://github.com/containers/skopeo/issues/2484 (the look before the first push)
 * @see https://github.com/estesp/manifest-tool/issues/53 (401 for a mount from elsewhere)
 */
export const gitlab: HostedShape = {
  name: 'GitLab',
  repository: 'group/project/app',
  second: 'group/project/copy',
  forbidden: 'stranger/private',
  user,
  missing: { tag: 3, repository: 4, anonymous: 4 },
  hidesMissing: true,
  mounts: true,
  options: {
    names: { reference: 'registry.gitlab.com', storage: 'cdn.registry.gitlab-static.net' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://gitlab.com/jwt/auth',
      oauth2: false,
      expiresInSeconds: 300,
      anonymousPull: true,
      withoutAccess: 403,
      grant: grantTo('group/project/', 'public/'),
    },
    missing: { repository: { status: 401, code: 'UNAUTHORIZED', message: 'authentication required' } },
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'absolute-with-query',
    mountFromUnknown: 401,
  },
  rateLimit: {
    status: 429,
    headers: { 'content-type': 'text/plain', 'retry-after': '1', 'ratelimit-remaining': '0' },
    body: 'Retry later\n',
  },
};
