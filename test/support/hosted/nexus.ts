import type { HostedShape } from './shape.ts';

const user = { username: 'octocat', password: 's3cret' };

/**
 * Sonatype Nexus, without the Docker Bearer Token Realm: Basic for all.
 * @see https://help.sonatype.com/en/docker-authentication.html
 * @see https://github.com/regclient/regclient/issues/836 (an index whose images are not all there is refused)
 */
export const nexus: HostedShape = {
  name: 'Nexus',
  repository: 'app',
  second: 'copy',
  forbidden: 'private',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  mounts: true,
  options: {
    names: { reference: 'nexus.example.com:8082', storage: 'storage.nexus.example.com' },
    auth: {
      kind: 'basic',
      ...user,
      grant: (_user, repository) => repository !== 'private',
      forbidden: { status: 403, code: 'DENIED', message: 'access to the requested resource is not authorized' },
    },
    locations: 'relative',
    referrers: false,
  },
  rateLimit: { status: 429, headers: { 'content-type': 'text/plain' }, body: '' },
};
