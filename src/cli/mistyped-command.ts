import type { Command } from 'commander';
import { ImgcopyError } from '../index.ts';

/**
 * Refuses a first word that was probably meant as a command: it would be taken for an image of Docker Hub, and copied over the next argument.
 * @throws ImgcopyError of kind `usage`.
 */
export function refuseMistypedCommand(word: string, program: Command): void {
  if (/[/:@]/.test(word) || OFFICIAL_IMAGES.has(word)) return;
  const instead = similarCommand(word, program) ?? OTHER_COMMANDS.get(word);
  if (instead === undefined) return;
  const suggestion = instead === '' ? 'imgcopy --help lists the commands.' : `did you mean imgcopy ${instead}?`;
  throw unknownCommand(word, `${suggestion} To copy an image with this name, write docker://${word}`);
}

/**
 * Refuses to explain a command that does not exist.
 * @throws ImgcopyError of kind `usage`.
 */
export function refuseHelpWithout(word: string, program: Command): void {
  if (ourCommands(program).includes(word)) return;
  const meant = similarCommand(word, program);
  throw unknownCommand(
    word,
    meant === undefined ? 'imgcopy --help lists the commands' : `did you mean imgcopy help ${meant}?`,
  );
}

function unknownCommand(word: string, hint: string): ImgcopyError {
  return new ImgcopyError(`unknown command: ${word}`, { code: 'ERR_USAGE', kind: 'usage', hint });
}

/** The command that differs from a word in one letter. */
function similarCommand(word: string, program: Command): string | undefined {
  return ourCommands(program).find((name) => name.length >= 4 && isOneEdit(word.toLowerCase(), name));
}

function ourCommands({ commands }: Command): readonly string[] {
  return ['help', ...commands.flatMap((command) => [command.name(), ...command.aliases()])];
}

/** Whether one letter was left out, added or replaced, or two neighbours are the wrong way round. */
function isOneEdit(typed: string, meant: string): boolean {
  let at = 0;
  while (at < typed.length && typed[at] === meant[at]) at += 1;
  const [rest, wanted] = [typed.slice(at), meant.slice(at)];
  return (
    rest.slice(1) === wanted.slice(1) ||
    rest.slice(1) === wanted ||
    rest === wanted.slice(1) ||
    `${rest.slice(1, 2)}${rest.slice(0, 1)}${rest.slice(2)}` === wanted
  );
}

/** Official images of Docker Hub that are called like a command of another tool. @see https://hub.docker.com/u/library */
const OFFICIAL_IMAGES: ReadonlySet<string> = new Set(['docker', 'node', 'python', 'registry', 'swarm']);

/** What does the same here, by the commands of skopeo, crane, regctl, oras and docker. */
const COUNTERPARTS: Readonly<Record<string, string>> = {
  auth: 'login',
  backup: 'SRC oci:PATH',
  config: 'inspect',
  discover: 'referrers',
  export: 'SRC dir:PATH',
  history: 'inspect',
  image: 'inspect',
  import: 'docker-archive:FILE DST',
  load: 'docker-archive:FILE DST',
  manifest: 'inspect --raw',
  'manifest-digest': 'digest',
  pull: 'SRC dir:PATH',
  push: 'dir:PATH DST',
  resolve: 'digest',
  restore: 'oci:PATH DST',
  save: 'SRC docker-archive:FILE',
  sync: '--all-tags SRC DST',
  tag: 'SRC DST',
  validate: 'verify',
  version: '--version',
};

const WITHOUT_COUNTERPART = `
  append artifact attach blob build builder buildx catalog checkpoint commit compose container context create
  delete diff edit events exec experimental-image-proxy extension flatten gc generate-sigstore-key images
  index info init kill layers layout list logs model mutate network optimize pause plugin port ps rebase ref rename repo
  restart rm rmi run sbom scout search secret serve service stack standalone-sign standalone-verify start stats
  stop system top trust unpause update volume wait`;

const OTHER_COMMANDS: ReadonlyMap<string, string> = new Map([
  ...WITHOUT_COUNTERPART.trim()
    .split(/\s+/)
    .map((name) => [name, ''] as const),
  ...Object.entries(COUNTERPARTS),
]);
