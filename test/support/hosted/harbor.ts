import { grantTo, tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'robot$mirror', password: 'a-secret' };

/**
 * Harbor. It offers Basic to a token that lacks a right, has codes of its own for what is not there, and serves blobs itself.
 * @see https://github.com/goharbor/harbor/issues/22078 (400 for a mount from a repository that is not there)
 * @see https://github.com/goharbor/harbor/pull/9427 (412 for an immutable tag)
 */
export const harbor: HostedShape = {
  name: 'Harbor',
  repository: 'project/app',
  second: 'project/copy',
  forbidden: 'other/private',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  mounts: true,
  immutableTag: { status: 412, code: 'PRECONDITION' },
  options: {
    leavesSessions: true,
    names: { reference: 'harbor.example.com', storage: 'storage.harbor.example.com' },
    auth: {
      kind: 'bearer',
      ...user,
      realm: 'http://harbor.example.com/service/token',
      oauth2: false,
      tokenField: 'both',
      expiresInSeconds: 1800,
      anonymousPull: true,
      // So nobody learns which right cancelling an upload takes: those that are given up stay.
      lackingChallenge: 'basic',
      grant: grantTo('project/', 'library/'),
    },
    missing: {
      repository: { status: 404, code: 'NOT_FOUND', message: 'repository not found' },
      manifest: { status: 404, code: 'NOT_FOUND', message: 'artifact not found' },
    },
    locations: 'absolute-with-query',
    mountFromUnknown: 400,
  },
  rateLimit: tooManyRequests('too many requests'),
};
