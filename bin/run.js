import { createRequire, enableCompileCache } from 'node:module';
import { isAbsolute } from 'node:path';
import { connectEarly } from './early-connections.js';

const { HOME, NODE_COMPILE_CACHE, XDG_CACHE_HOME } = process.env;
const userCache = [XDG_CACHE_HOME, HOME && `${HOME}/.cache`].find((path) => path && isAbsolute(path));
// Not in the shared temporary directory, Node's default: whoever can write there could hand us compiled code.
const folder = NODE_COMPILE_CACHE || (userCache && `${userCache}/imgcopy/compiled`);
if (folder) enableCompileCache(folder);

await connectEarly(process.argv.slice(2), process.env);
const { main } = createRequire(import.meta.url)('../dist/imgcopy.cjs');
process.exitCode = await main(process.argv.slice(2));
