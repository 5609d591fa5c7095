import { grantTo, tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'octocat', password: 'ghp_x' };

/**
 * GitHub Container Registry. Its token server refuses who may not read a package, and packages that do not exist.
 * @see https://github.com/secureCodeBox/secureCodeBox/issues/2574 (403 DENIED of the token server)
 * @see https://github.com/oras-project/rust-oci-client/issues/35 (4 MiB a chunk with a Content-Range)
 * @see https://github.com/tuna-os/tunaOS/issues/579 (501 to many ranges)
 */
export const ghcr: HostedShape = {
  name: 'GitHub (GHCR)',
  repository: 'octocat/app',
  second: 'octocat/copy',
  forbidden: 'stranger/private',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  hidesMissing: true,
  mounts: true,
  options: {
    names: { reference: 'ghcr.io', storage: 'pkg-containers.githubusercontent.com' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://ghcr.io/token',
      oauth2: 405,
      tellsExpiry: false,
      anonymousPull: true,
      withoutAccess: 403,
      grant: grantTo('octocat/', 'public/'),
    },
    redirectBlobs: true,
    multiRange: 501,
    locations: 'relative',
    maxRangedPatch: 4 * 1024 * 1024,
    referrers: false,
  },
  rateLimit: tooManyRequests('too many requests', { 'retry-after': '1' }),
};
