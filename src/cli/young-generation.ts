import { setFlagsFromString } from 'node:v8';

/**
 * Keeps the heap's young generation as small as it is. Bodies pass as buffers outside the heap, which are freed when the young generation
 * is collected: the smaller it is, the sooner. Peak memory of a copy of 1 GB: 174 MB without this, 126 MB with it (Node.js 24).
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
