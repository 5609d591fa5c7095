import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { realTool } from '../test/support/real-tools.ts';

/** What an image can be stored as on a disk. */
export type LocalForm = 'dir' | 'oci' | 'oci-archive' | 'docker-archive';

/** An image on a disk. */
export interface LocalPlace {
  readonly form: LocalForm;
  readonly path: string;
  /** Through standard input or output, which a shell connects with the file. */
  readonly isPiped?: boolean | undefined;
}

/** Each tool makes of a folder what it has for one. */
export type RegistryOrFolder = { readonly registry: string } | { readonly folder: string };

/** One copy. */
export interface CopyJob {
  /** Over TLS on both sides. Default: plain HTTP. */
  readonly tls?: boolean;
  /** `host:port/repository:tag`, or a place on a disk. */
  readonly source: string | LocalPlace;
  readonly destination: RegistryOrFolder | LocalPlace;
}

export interface CopyTool {
  readonly name: string;
  /** The command line that does the job, program first. */
  readonly command: (job: CopyJob) => readonly string[];
  /** Whether it can do the job. Default: any. */
  readonly can?: (job: CopyJob) => boolean;
}

/** imgcopy, as built in dist, on the Node.js that runs this. */
export const imgcopy: CopyTool = imgcopyIn(fileURLToPath(new URL('..', import.meta.url)));

/** imgcopy as it is in a folder. */
export function imgcopyIn(folder: string): CopyTool {
  return {
    name: 'imgcopy',
    command: ({ tls, source, destination }) => {
      const program = [process.execPath, join(folder, 'bin/imgcopy.js'), 'copy'];
      const to =
        'folder' in destination
          ? `dir:${destination.folder}`
          : 'registry' in destination
            ? `docker://${destination.registry}`
            : placeName(destination);
      const from = typeof source === 'string' ? `docker://${source}` : placeName(source);
      return piped([...program, ...(tls ? [] : ['--plain-http']), from, to], { source, destination });
    },
  };
}

/** As imgcopy and skopeo write it. */
function placeName({ form, path, isPiped }: LocalPlace): string {
  if (isPiped) return '-';
  if (form === 'dir') return `dir:${path}`;
  return form === 'docker-archive' ? `${form}:${path}:${DOCKER_NAME}` : `${form}:${path}:app`;
}

const DOCKER_NAME = 'bench.test/app:app';

/** The command, in a shell that connects its standard input or output with files where the job says so. What is written is on the disk at the end. */
function piped(
  command: readonly string[],
  { source, destination }: Pick<CopyJob, 'source' | 'destination'>,
): readonly string[] {
  const from = typeof source !== 'string' && source.isPiped ? ` < '${source.path}'` : '';
  const to = 'isPiped' in destination && destination.isPiped ? ` | dd of='${destination.path}' ${TO_DISK}` : '';
  return from + to === '' ? command : ['/bin/sh', '-c', `"$0" "$@"${from}${to}`, ...command];
}

/** The command, and then what is written to the file system of the folder until all of that is on the disk. */
export function synced(command: readonly string[], folder: string): readonly string[] {
  return ['/bin/sh', '-c', `"$0" "$@" && sync -f '${folder}'`, ...command];
}

const TO_DISK = 'bs=1M iflag=fullblock conv=fsync status=none';

/** A file to a file, on the disk at the end: what nothing that goes through a pipe can be faster than. */
export const bareCopy: CopyTool = {
  name: 'cat',
  command: ({ source, destination }) => {
    if (typeof source === 'string' || !('form' in destination)) throw new Error('there is no file to copy');
    return ['/bin/sh', '-c', `cat '${source.path}' | dd of='${destination.path}.copy' ${TO_DISK}`];
  },
};

/** Node.js doing nothing: what a command of ours cannot be faster than. */
export const bareNode: CopyTool = { name: 'node', command: () => [process.execPath, '-e', '0'] };

/** The other copiers that are installed here. */
export function installedPeers(): readonly CopyTool[] {
  return peers.flatMap(({ name, copy, copyLocal }) => {
    const path = realTool(name);
    if (path === undefined) return [];
    const argumentsOf = (job: CopyJob): readonly string[] | undefined => {
      const { tls, source, destination } = job;
      if (typeof source === 'string' && !('form' in destination)) return copy({ tls, source, destination });
      return copyLocal?.(job);
    };
    const can = (job: CopyJob): boolean => argumentsOf(job) !== undefined;
    return [{ name, can, command: (job: CopyJob) => [path, ...(argumentsOf(job) ?? [])] }];
  });
}

interface RegistryJob {
  readonly tls: boolean | undefined;
  readonly source: string;
  readonly destination: RegistryOrFolder;
}

interface Peer {
  readonly name: string;
  /** From a registry. */
  readonly copy: (job: RegistryJob) => readonly string[];
  /** To or from a place on a disk, over plain HTTP. Undefined where it cannot. */
  readonly copyLocal?: (job: CopyJob) => readonly string[] | undefined;
}

/** To a folder, each writes the layout that it has for one: that of dir: in skopeo's case, an OCI layout in the others'. */
const peers: readonly Peer[] = [
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
    copyLocal: ({ source, destination }) => {
      if (typeof source === 'string' && 'form' in destination) {
        const host = withoutTls(source);
        if (destination.form === 'oci') return [host, 'image', 'copy', source, `ocidir://${destination.path}:app`];
        return destination.form === 'dir' ? undefined : [host, 'image', 'export', source, destination.path];
      }
      if (typeof source === 'string' || !('registry' in destination) || source.form === 'dir') return undefined;
      const host = withoutTls(destination.registry);
      return source.form === 'oci'
        ? [host, 'image', 'copy', `ocidir://${source.path}:app`, destination.registry]
        : [host, 'image', 'import', destination.registry, source.path];
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
    copyLocal: ({ source, destination }) => {
      const from = typeof source === 'string' ? ['--src-tls-verify=false', `docker://${source}`] : [placeName(source)];
      if ('folder' in destination || [...from].includes('-')) return undefined;
      const to =
        'registry' in destination
          ? ['--dest-tls-verify=false', `docker://${destination.registry}`]
          : [placeName(destination)];
      return ['--insecure-policy', 'copy', ...from, ...to];
    },
  },
];

function withoutTls(reference: string): string {
  return `--host=reg=${reference.slice(0, reference.indexOf('/'))},tls=disabled`;
}
