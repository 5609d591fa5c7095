import { buildImage, buildIndex, randomBytes, type TestImage } from '../../support/images.ts';

const shared = randomBytes('shared', 5000);

/** The image that is there when the copy of `newer` begins. They have a layer in common. */
export const older: TestImage = buildImage({ layers: [shared, randomBytes('older', 2000)] });

export const newer: TestImage = buildIndex({
  images: [{ image: buildImage({ layers: [shared, randomBytes('newer', 3000)] }) }],
});

export const signature: Buffer = Buffer.from('signature of the newer image');
