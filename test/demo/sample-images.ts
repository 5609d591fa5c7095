import { digestOf, type Digest } from '../../src/digest/digest.ts';
import type { Platform } from '../../src/manifest/descriptor.ts';
import { buildImage, buildIndex, randomBytes, tarGzLayer, type TestImage } from '../support/images.ts';

/** One platform of the sample image. */
export interface SampleInstance {
  readonly platform: Platform;
  /** Bottom first; sizes in bytes. */
  readonly layers: readonly { readonly name: string; readonly size: number; readonly isShared: boolean }[];
}

export interface Sample {
  /** An index. */
  readonly image: TestImage;
  readonly instances: readonly SampleInstance[];
  /** The layer that all instances have. */
  readonly shared: Digest;
}

/** An image of three platforms, which have their web pages in common. */
export function buildSample(): Sample {
  const platforms: readonly Platform[] = [
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
    { os: 'linux', architecture: 'arm', variant: 'v7' },
  ];
  const pages = tarGzLayer({
    'srv/www/index.html': '<h1>Shop</h1>\n',
    'srv/www/photos.bin': randomBytes('photos', 800_000),
  });
  const samples = platforms.map((platform, index) => {
    const machine = `${platform.architecture}${platform.variant ?? ''}`;
    const base = tarGzLayer({
      'etc/os-release': `NAME="Sample"\nARCH=${machine}\n`,
      'lib/libc.so.6': randomBytes(`libc ${machine}`, 1_500_000 - index * 90_000),
    });
    const server = tarGzLayer({
      'usr/bin/server': randomBytes(`server ${machine}`, 2_400_000 - index * 130_000),
      'etc/server.conf': 'listen 80\n'.repeat(20),
    });
    const layers = [
      { name: 'base', size: base.length, isShared: false },
      { name: 'server', size: server.length, isShared: false },
      { name: 'pages', size: pages.length, isShared: true },
    ];
    return { platform, layers, image: buildImage({ platform, layers: [base, server, pages] }) };
  });
  return { image: buildIndex({ images: samples }), instances: samples, shared: digestOf(pages) };
}
