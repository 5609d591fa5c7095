import { buildImage, buildIndex, randomBytes, type TestImage } from '../../support/images.ts';

/** The layer that both images have. */
export const shared: Buffer = randomBytes('shared', 5000);

export const older: TestImage = buildImage({ layers: [shared, randomBytes('older', 1000)] });
export const newer: TestImage = buildImage({ layers: [shared, randomBytes('newer', 2000)] });

export function indexOf(...images: readonly TestImage[]): TestImage {
  return buildIndex({ images: images.map((image) => ({ image })) });
}
