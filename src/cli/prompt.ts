import { Writable } from 'node:stream';

/** Whether there is somebody to ask: standard input and error are a terminal. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/** Asks for a line on the terminal. */
export async function ask(prompt: string, signal: AbortSignal): Promise<string> {
  return answerTo(prompt, process.stderr, signal);
}

/** Asks for a line on the terminal that is not shown while it is typed. */
export async function askSecret(prompt: string, signal: AbortSignal): Promise<string> {
  process.stderr.write(prompt);
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    return await answerTo('', nowhere, signal);
  } finally {
    process.stderr.write('\n');
  }
}

async function answerTo(prompt: string, output: Writable, signal: AbortSignal): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  // The terminal hands over Ctrl-C as a key while a line is read.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    return await lines.question(prompt, { signal });
  } finally {
    lines.close();
  }
}
