import { fileURLToPath } from 'node:url';
import { realTool } from '../test/support/real-tools.ts';

/** One copy, from a registry. */
export interface CopyJob {
  /** Over TLS on both sides. Default: plain HTTP. */
  readonly tls?: boolean;
  /** `host:port/repository:tag` */
  readonly source: string;
  readonly destination: { readonly registry: string } | { readonly folder: string };
}

export interface CopyTool {
  readonly name: string;
  /** The command line that does the job, program first. */
  readonly command: (job: CopyJob) => readonly string[];
}

/** imgcopy, as built in dist, on the Node.js that runs this. */
export const imgcopy: CopyTool = {
  name: 'imgcopy',
  command: ({ tls, source, destination }) => [
    process.execPath,
    fileURLToPath(new URL('../bin/imgcopy.js', import.meta.url)),
    'copy',
    ...(tls ? [] : ['--plain-http']),
    `docker://${source}`,
    'folder' in destination ? `dir:${destination.folder}` : `docker://${destination.registry}`,
  ],
};

/** Node.js doing nothing: what a command of ours cannot be faster than. */
export const bareNode: CopyTool = { name: 'node', command: () => [process.execPath, '-e', '0'] };

/** The other copiers that are installed here. */
export function installedPeers(): readonly CopyTool[] {
  return peers.flatMap(({ name, copy }) => {
    const path = realTool(name);
    return path === undefined ? [] : [{ name, command: (job: CopyJob) => [path, ...copy(job)] }];
  });
}

/** To a folder, each writes the layout that it has for one: that of dir: in skopeo's case, an OCI layout in the others'. */
const peers: readonly { readonly name: string; readonly copy: (job: CopyJob) => readonly string[] }[] = [
  {
    name: 'crane',
    copy: ({ tls, source, destination }) => {
      const insecure = tls ? [] : ['--insecure'];
      return 'folder' in destination
        ? ['pull', ...insecure, '--format=oci', source, destination.folder]
        : ['copy', ...insecure, source, destination.registry];
    },
  },
  {
    name: 'regctl',
    copy: ({ tls, source, destination }) => {
      const host = (reference: string): readonly string[] => (tls ? [] : [withoutTls(reference)]);
      return 'folder' in destination
        ? [...host(source), 'image', 'copy', source, `ocidir://${destination.folder}:app`]
        : [...host(source), ...host(destination.registry), 'image', 'copy', source, destination.registry];
    },
  },
  {
    name: 'oras',
    copy: ({ tls, source, destination }) => {
      const plain = (side: string): readonly string[] => (tls ? [] : [`--${side}-plain-http`]);
      return 'folder' in destination
        ? ['copy', '--no-tty', ...plain('from'), '--to-oci-layout', source, `${destination.folder}:app`]
        : ['copy', '--no-tty', ...plain('from'), ...plain('to'), source, destination.registry];
    },
  },
  {
    name: 'skopeo',
    copy: ({ tls, source, destination }) => {
      const plain = (side: string): readonly string[] => (tls ? [] : [`--${side}-tls-verify=false`]);
      const to =
        'folder' in destination
          ? [`dir:${destination.folder}`]
          : [...plain('dest'), `docker://${destination.registry}`];
      return ['--insecure-policy', 'copy', '--all', ...plain('src'), `docker://${source}`, ...to];
    },
  },
];

function withoutTls(reference: string): string {
  return `--host=reg=${reference.slice(0, reference.indexOf('/'))},tls=disabled`;
}
