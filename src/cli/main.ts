import { CommanderError } from 'commander';
import { withoutAliases } from './aliases.ts';
import { exitStatusOf, formatError } from './error-report.ts';
import { createProgram } from './program.ts';
import { Interruption } from './interruption.ts';

/**
 * Runs the command line.
 * @param argv  the arguments after the program's name.
 * @returns the exit status.
 */
export async function main(argv: readonly string[]): Promise<number> {
  ignoreClosedPipes();
  using interruption = new Interruption();
  const program = createProgram(interruption.signal);
  try {
    await program.parseAsync(withoutAliases(argv), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (interruption.status !== undefined) {
      process.stderr.write(
        `imgcopy: ${interruption.status === 130 ? 'interrupted' : 'terminated'}; run it again to go on\n`,
      );
      return interruption.status;
    }
    process.stderr.write(formatError(error, { stack: argv.includes('--debug') }));
    return exitStatusOf(error);
  }
}

/** Whoever reads our output may stop reading (`imgcopy … | head -1`): no reason to complain. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
