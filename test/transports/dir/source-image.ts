import { buildImage, randomBytes, type TestImage } from '../../support/images.ts';

/** The only layer of the image. */
export const layer: Buffer = randomBytes('layer', 1_000_000);

export const image: TestImage = buildImage({ layers: [layer] });
