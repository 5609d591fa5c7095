import { build } from './dist.js';

if (!build()) process.exitCode = 1;
