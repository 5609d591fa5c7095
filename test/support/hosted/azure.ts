import { tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: '00000000-0000-0000-0000-000000000000', password: 'a-refresh-token' };
const MIB = 1024 * 1024;
/** Some 20 MB in reality. */
const limit = { maxBytes: 2 * MIB };

/**
 * Azure Container Registry. The token is called access_token, upload Locations have a state in their query, and requests have a size limit.
 * @see https://github.com/goharbor/harbor/issues/23015 and https://github.com/goharbor/harbor/issues/21640 (413)
 */
export const azure: HostedShape = {
  name: 'Azure (ACR)',
  repository: 'app',
  second: 'copy',
  forbidden: 'team/private',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  mounts: true,
  options: {
    names: { reference: 'example.azurecr.io', storage: 'weumanaged1.blob.core.windows.net' },
    auth: {
      kind: 'bearer',
      ...user,
      refreshToken: user.password,
      realm: 'http://example.azurecr.io/oauth2/token',
      tokenField: 'access_token',
      tellsExpiry: false,
      grant: (_user, repository) => repository !== 'team/private',
    },
    missing: { repository: { status: 404, code: 'NAME_UNKNOWN', message: 'repository name not known to registry' } },
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'with-query',
    patch: limit,
    monolithic: limit,
  },
  rateLimit: tooManyRequests('too many requests', { 'retry-after': '1' }),
};
