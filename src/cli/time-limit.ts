import { ImgcopyError } from '../index.ts';

/**
 * Runs something under the user's signal and, where --command-timeout sets one, a time limit.
 * @throws ImgcopyError ERR_COMMAND_TIMEOUT once the time is up; else what the work throws.
 */
export async function withTimeLimit<T>(
  { commandTimeout }: { readonly commandTimeout?: number | undefined },
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (commandTimeout === undefined) return work(signal);
  const timeout = AbortSignal.timeout(commandTimeout);
  try {
    return await work(AbortSignal.any([signal, timeout]));
  } catch (error) {
    if (!timeout.aborted || signal.aborted) throw error;
    throw new ImgcopyError(`timed out after ${commandTimeout / 1000} s`, {
      code: 'ERR_COMMAND_TIMEOUT',
      hint: 'raise --command-timeout; running the copy again resumes it',
    });
  }
}
