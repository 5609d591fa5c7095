import { tooManyRequests, type HostedShape } from './shape.ts';

const user = { username: 'AWS', password: 'a-password-of-12-hours' };
const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com';

/**
 * Amazon ECR. Basic, repositories have to be there before the first push, and what it says of uploads is to be taken with care.
 * @see https://github.com/regclient/regclient/issues/81 (201 to a PATCH)
 * @see https://github.com/aws/containers-roadmap/issues/2831 (a Range that stays behind)
 * @see https://github.com/aws/containers-roadmap/issues/2860 (mounts only with an account setting)
 * @see https://github.com/distribution/distribution/issues/3792 (HEAD without Docker-Content-Digest)
 * @see https://github.com/containers/image/pull/2792 (S3 answers many ranges with the whole blob)
 */
export const ecr: HostedShape = {
  name: 'Amazon ECR',
  repository: 'app',
  second: 'copy',
  forbidden: 'other-account',
  user,
  missing: { tag: 3, repository: 3, anonymous: 4 },
  mounts: false,
  immutableTag: { status: 400, code: 'TAG_INVALID' },
  options: {
    names: { reference: host, storage: 'prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com' },
    auth: {
      kind: 'basic',
      ...user,
      grant: (_user, repository) => repository !== 'other-account',
      forbidden: {
        status: 403,
        code: 'DENIED',
        message: 'User: arn:aws:iam::123456789012:user/x is not authorized to perform this action on the resource',
      },
    },
    missing: {
      repository: {
        status: 404,
        code: 'NAME_UNKNOWN',
        message: "The repository does not exist in the registry with id '123456789012'",
      },
      manifest: { status: 404, code: 'MANIFEST_UNKNOWN', message: 'Requested image not found' },
    },
    repositoriesPreexist: true,
    redirectBlobs: true,
    multiRange: 'full',
    locations: 'absolute',
    mount: 'always-202',
    patchStatus: 201,
    staleRange: true,
    headDigestHeader: false,
  },
  rateLimit: tooManyRequests('Rate exceeded'),
};
