import { transports } from '../../../src/transports/table.ts';
import type { Transport } from '../../../src/transports/transport.ts';
import { boxTransport } from './box/index.ts';
import { lineTransport } from './line/index.ts';

/** The table as it is, and a line for each toy. */
export const withToys: readonly Transport[] = [...transports, boxTransport, lineTransport];
