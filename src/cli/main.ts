import { CommanderError, type Command } from 'commander';
import { withoutAliases } from './aliases.ts';
import { exitStatusOf, formatError, usageError } from './error-report.ts';
import { createProgram } from './program.ts';
import { Interruption } from './interruption.ts';
import { verbFirst } from './verb-first.ts';

/**
 * Runs the command line.
 * @param argv  the arguments after the program's name.
 * @returns the exit status.
 */
export async function main(argv: readonly string[]): Promise<number> {
  ignoreClosedPipes();
  using interruption = new Interruption();
  const program = createProgram(interruption.signal);
  let running: Command | undefined;
  program.hook('preAction', (_, command) => {
    running = command;
  });
  try {
    if (argv.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(verbFirst(withoutAliases(argv), program), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    if (interruption.status !== undefined) {
      process.stderr.write(
        `imgcopy: ${interruption.status === 130 ? 'interrupted' : 'terminated'}; run it again to go on\n`,
      );
      return interruption.status;
    }
    const reported = error instanceof CommanderError ? usageError(error, verbOf(argv, program)) : error;
    const stack = running?.opts<{ debug?: boolean }>().debug ?? argv.includes('--debug');
    process.stderr.write(formatError(reported, { stack, sides: running?.name() === 'copy' }));
    return exitStatusOf(reported);
  }
}

function verbOf(argv: readonly string[], program: Command): string | undefined {
  const [verb = ''] = verbFirst(argv, program);
  return program.commands.find((command) => command.name() === verb || command.aliases().includes(verb))?.name();
}

/** Whoever reads our output may stop reading (`imgcopy … | head -1`): no reason to complain. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
