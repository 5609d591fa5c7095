import { fileURLToPath } from 'node:url';
import { realTool } from '../test/support/real-tools.ts';

/** One copy, from a registry over plain HTTP. */
export interface CopyJob {
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
  command: ({ source, destination }) => [
    process.execPath,
    fileURLToPath(new URL('../bin/imgcopy.js', import.meta.url)),
    'copy',
    '--plain-http',
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
    copy: ({ source, destination }) =>
      'folder' in destination
        ? ['pull', '--insecure', '--format=oci', source, destination.folder]
        : ['copy', '--insecure', source, destination.registry],
  },
  {
    name: 'regctl',
    copy: ({ source, destination }) =>
      'folder' in destination
        ? [withoutTls(source), 'image', 'copy', source, `ocidir://${destination.folder}:app`]
        : [withoutTls(source), withoutTls(destination.registry), 'image', 'copy', source, destination.registry],
  },
  {
    name: 'oras',
    copy: ({ source, destination }) =>
      'folder' in destination
        ? ['copy', '--no-tty', '--from-plain-http', '--to-oci-layout', source, `${destination.folder}:app`]
        : ['copy', '--no-tty', '--from-plain-http', '--to-plain-http', source, destination.registry],
  },
  {
    name: 'skopeo',
    copy: ({ source, destination }) => {
      const to =
        'folder' in destination
          ? [`dir:${destination.folder}`]
          : ['--dest-tls-verify=false', `docker://${destination.registry}`];
      return ['--insecure-policy', 'copy', '--all', '--src-tls-verify=false', `docker://${source}`, ...to];
    },
  },
];

function withoutTls(reference: string): string {
  return `--host=reg=${reference.slice(0, reference.indexOf('/'))},tls=disabled`;
}
