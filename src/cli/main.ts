import { CommanderError, type Command } from 'commander';
import { withoutAliases } from './aliases.ts';
import { exitStatusOf, isReaderGone, reportError, ReportedFailure, usageError } from './error-report.ts';
import { duringOperation, ImgcopyError } from '../index.ts';
import { createProgram, type ProgramOptions } from './program.ts';
import { loadCryptoMeanwhile } from './load-crypto-meanwhile.ts';
import { Interruption } from './interruption.ts';
import { prepareForParser } from './v8-flags.ts';
import { verbFirst } from './command-first.ts';

export { restoreFlags, withDefaultFlags } from './v8-flags.ts';

/**
 * Runs the command line.
 * @param argv  the arguments after the program's name.
 * @returns the exit status.
 */
export async function main(argv: readonly string[], options: ProgramOptions = {}): Promise<number> {
  prepareForParser();
  loadCryptoMeanwhile();
  endOnUnwritableOutput();
  process.once('beforeExit', failUnfinished);
  try {
    return await run(argv, options);
  } finally {
    process.off('beforeExit', failUnfinished);
  }
}

async function run(argv: readonly string[], options: ProgramOptions): Promise<number> {
  using interruption = new Interruption();
  const program = createProgram(interruption.signal, options);
  let running: Command | undefined;
  program.hook('preAction', (_, command) => {
    running = command;
  });
  try {
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    refuseReplacedBytes(argv);
    await program.parseAsync(verbFirst(withoutAliases(argv), program), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (interruption.status !== undefined) {
      const how = interruption.status === 130 ? 'interrupted' : 'terminated';
      const hint = running?.name() === 'copy' ? '; run the same command again to resume' : '';
      reportError(new Error(`${how}${hint}`), PLAIN);
      return interruption.status;
    }
    if (error instanceof ReportedFailure) return error.status;
    const reported = error instanceof CommanderError ? usageError(error, commandOf(argv, program)) : error;
    if (isReaderGone(reported)) return exitStatusOf(reported);
    const stack = running?.opts<{ debug?: boolean }>().debug ?? argv.includes('--debug');
    reportError(reported, { stack, sides: running?.name() === 'copy' });
    return exitStatusOf(reported);
  }
}

function commandOf(argv: readonly string[], program: Command): Command | undefined {
  const [verb = ''] = verbFirst(argv, program);
  return program.commands.find((command) => command.name() === verb || command.aliases().includes(verb));
}

/** Node.js puts U+FFFD in the place of bytes that are not UTF-8: a path would be another one, and so would a password. */
function refuseReplacedBytes(argv: readonly string[]): void {
  const position = argv.findIndex((argument) => argument.includes('\uFFFD'));
  if (position === -1) return;
  throw new ImgcopyError(`argument ${position + 1} has bytes that are not UTF-8`, {
    code: 'ERR_ARGUMENT_NOT_UTF8',
    kind: 'usage',
    hint: 'rename the file or directory, or reach it by a symbolic link whose name is UTF-8',
  });
}

/** For bin/compiled-code.js, where a file of the program is of another build: an update of the package has replaced it meanwhile. */
export function programReplaced(): ImgcopyError {
  return new ImgcopyError('imgcopy was replaced by another version while it ran', {
    code: 'ERR_PROGRAM_REPLACED',
    hint: 'run the same command again; what is finished is not copied again',
  });
}

/** A promise that nothing will settle ends Node.js quietly, and with status 0: a copy must never seem to have succeeded so. */
function failUnfinished(): void {
  const error = new ImgcopyError('internal error: the copy stopped before it was finished', {
    code: 'ERR_UNFINISHED',
    hint: 'this is a bug in imgcopy; please report it. Running the command again resumes',
  });
  reportError(error, PLAIN);
  process.exitCode = 1;
}

/** Whoever reads our output may stop reading (`imgcopy … | head -1`): no reason to complain. A full disk is one. */
function endOnUnwritableOutput(): void {
  const end = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') return;
    reportError(duringOperation('writing to standard output', error), PLAIN);
    process.exit(1);
  };
  process.stdout.on('error', end);
  process.stderr.on('error', () => undefined);
}

const PLAIN = { stack: false, sides: false };
