import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { CliHome, program } from './imgcopy-command.ts';
import { requireTool, runTool } from './real-tools.ts';

/** Between two looks at the screen, in ms. */
const LOOK_MS = 50;
/** A screen that has not come to be as wanted by then will not, in ms. */
const PATIENCE_MS = 60_000;

export interface TerminalOptions {
  readonly columns: number;
  readonly rows: number;
}

/** A real terminal, in which the command runs. */
export class Terminal {
  readonly #tmux: (...args: readonly string[]) => Promise<string>;
  readonly #statusFile: string;

  constructor(tmux: (...args: readonly string[]) => Promise<string>, statusFile: string) {
    this.#tmux = tmux;
    this.#statusFile = statusFile;
  }

  /** The lines on the screen, without those at its end that are empty. */
  async screen(): Promise<readonly string[]> {
    return (await this.#tmux('capture-pane', '-p')).trimEnd().split('\n');
  }

  /** Waits until the screen is so. @returns its lines then. @throws Error with the screen, where it does not come to be so. */
  async until(isSo: (lines: readonly string[]) => boolean): Promise<readonly string[]> {
    let lines: readonly string[] = [];
    await this.#poll(async () => isSo((lines = await this.screen())));
    return lines;
  }

  /** Presses keys, as tmux calls them: `C-c`. */
  async press(key: string): Promise<void> {
    await this.#tmux('send-keys', key);
  }

  async resize(columns: number): Promise<void> {
    await this.#tmux('resize-window', '-x', `${columns}`);
  }

  /** The exit status of the command, once it has ended. */
  async status(): Promise<number> {
    let told = '';
    await this.#poll(async () => {
      told = await readFile(this.#statusFile, 'utf8').catch(() => '');
      return told.endsWith('\n');
    });
    return Number(told);
  }

  async #poll(isReached: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await isReached())) {
      if (Date.now() > deadline) throw new Error(`the screen stays:\n${(await this.screen()).join('\n')}`);
      await setTimeout(LOOK_MS);
    }
  }
}

/**
 * Runs the command in a terminal of its own, which ends with the test.
 * @returns undefined where there is no tmux; the test is skipped then.
 */
export async function openTerminal(
  t: TestContext,
  args: readonly string[],
  { columns, rows }: TerminalOptions,
): Promise<Terminal | undefined> {
  const tool = requireTool(t, 'tmux');
  if (tool === undefined) return undefined;
  const home = new CliHome(await mkdtemp(join(tmpdir(), 'imgcopy-terminal-')));
  const settings = join(home.path, 'tmux.conf');
  await writeFile(settings, 'set -g status off\nset -g remain-on-exit on\nset -g remain-on-exit-format ""\n');
  const env = { ...home.variables, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' };
  const tmux = async (...words: readonly string[]): Promise<string> =>
    (await runTool(tool, ['-S', join(home.path, 'socket'), '-f', settings, ...words], { env })).stdout;
  t.after(async () => {
    await tmux('kill-server').catch(() => undefined);
    // What ran in the terminal may still write as it ends.
    await rm(home.path, { recursive: true, force: true, maxRetries: 10 });
  });
  const size = ['-x', `${columns}`, '-y', `${rows}`];
  // CI would switch the display off.
  const command = ['env', '-u', 'CI', '-u', 'GITHUB_ACTIONS', process.execPath, program, ...args];
  const statusFile = join(home.path, 'status');
  // The shell outlives ^C. Tmux itself may tell the end of a command before its status.
  const shell = ['sh', '-c', 'trap : INT; "$@"; echo $? >"$0"', statusFile];
  await tmux('new-session', '-d', ...size, ...shell, ...command);
  return new Terminal(tmux, statusFile);
}
