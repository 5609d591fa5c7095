import { tooManyRequests, type HostedShape } from './shape.ts';

/**
 * registry.k8s.io has nothing itself: every request is sent on to a mirror near the client.
 * @see https://github.com/kubernetes/registry.k8s.io/blob/main/cmd/archeio/docs/request-handling.md
 */
export const kubernetes: HostedShape = {
  name: 'registry.k8s.io',
  repository: 'kube-proxy',
  second: 'pause',
  missing: { tag: 3, repository: 3, anonymous: 3 },
  mounts: false,
  options: {
    names: { reference: 'registry.k8s.io', storage: 'europe-west4-docker.pkg.dev' },
    redirectsAll: true,
    redirectBlobs: true,
    multiRange: 'full',
  },
  rateLimit: tooManyRequests('Quota exceeded'),
};

/** Microsoft's registry asks nobody, and keeps its blobs on hosts of their own. @see https://aka.ms/mcr/firewallrules */
export const microsoft: HostedShape = {
  name: 'mcr.microsoft.com',
  repository: 'dotnet/runtime',
  second: 'dotnet/sdk',
  missing: { tag: 3, repository: 3, anonymous: 3 },
  mounts: false,
  options: {
    names: { reference: 'mcr.microsoft.com', storage: 'westeurope.data.mcr.microsoft.com' },
    redirectBlobs: true,
    multiRange: 'full',
  },
  rateLimit: { status: 429, headers: { 'retry-after': '1' }, body: '' },
};

/**
 * Amazon ECR Public gives a token to everybody, and wants one from everybody.
 * @see https://github.com/aws/containers-roadmap/issues/1459 (no mounts)
 */
export const ecrPublic: HostedShape = {
  name: 'Amazon ECR Public',
  repository: 'docker/library/alpine',
  second: 'docker/library/busybox',
  missing: { tag: 3, repository: 3, anonymous: 3 },
  mounts: false,
  options: {
    names: { reference: 'public.ecr.aws', storage: 'd5l0dvt14r5h8.cloudfront.net' },
    auth: { kind: 'bearer', realm: 'http://public.ecr.aws/token/', expiresInSeconds: 43_200 },
    redirectBlobs: true,
    multiRange: 'unquoted-colon-boundary',
  },
  rateLimit: tooManyRequests('Rate exceeded'),
};
