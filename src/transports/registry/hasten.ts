import type { Layer } from '../../http/index.ts';

/** How long an address is waited for where another one may have the image, in ms. */
const HASTY_IDLE_MS = 10_000;

/** For a host beside which there is another one to ask: it is asked once, and given up when it is silent, or wants to be left alone for a while. */
export const hasten: Layer = (next) => (request) =>
  next({ ...request, retries: 0, mayWait: false, idleTimeoutMs: HASTY_IDLE_MS });
