import { ARCHIVE_TARGETS } from './archive-targets.ts';
import { HTTP_TARGETS } from './http-targets.ts';
import { JSON_TARGETS } from './json-targets.ts';
import { TAIL_TARGETS } from './tail-targets.ts';
import type { FuzzTarget } from './target.ts';
import { TEXT_TARGETS } from './text-targets.ts';

/** Everything that reads what strangers wrote. `npm test` runs each for a while, `npm run fuzz` as long as you like. */
export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...TEXT_TARGETS,
  ...HTTP_TARGETS,
  ...JSON_TARGETS,
  ...TAIL_TARGETS,
  ...ARCHIVE_TARGETS,
];
