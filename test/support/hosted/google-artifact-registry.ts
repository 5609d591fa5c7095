import { grantTo, tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'oauth2accesstoken', password: 'ya29.x' };

/**
 * Google Artifact Registry. A token that lacks a right is refused without a challenge, uploads have a path of their own and take one PATCH.
 * @see https://github.com/regclient/regclient/issues/149 (401 without a challenge)
 * @see https://github.com/containers/skopeo/issues/1101 and https://github.com/kitops-ml/kitops/issues/777 (no chunked uploads)
 */
export const googleArtifactRegistry: HostedShape = {
  name: 'Google Artifact Registry',
  repository: 'my-project/images/app',
  second: 'my-project/images/copy',
  forbidden: 'other-project/images/app',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  hidesMissing: true,
  mounts: true,
  options: {
    leavesSessions: true,
    names: { reference: 'europe-docker.pkg.dev', storage: 'storage.googleapis.com' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://europe-docker.pkg.dev/v2/token',
      oauth2: false,
      anonymousPull: true,
      // So nobody learns which right cancelling an upload takes: those that are given up stay.
      lackingChallenge: 'none',
      grant: grantTo('my-project/'),
    },
    missing: { repository: { status: 404, code: 'NAME_UNKNOWN', message: 'Repository "images" not found' } },
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'relative',
    uploadPrefix: '/artifacts-uploads',
    severalPatches: false,
  },
  rateLimit: tooManyRequests('Quota exceeded for quota metric requests per minute'),
};
