import { main } from '../../../src/cli/main.ts';
import { withToys } from './table.ts';

process.exitCode = await main(process.argv.slice(2), { transports: withToys });
