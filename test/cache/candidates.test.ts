import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CandidateFacts, candidateLocations } from '../../src/cache/candidates.ts';
import type { Digest } from '../../src/digest/digest.ts';
import type { CandidateOptions } from '../../src/contract/blob-info-cache.ts';
import type { CompressionAlgorithm } from '../../src/manifest/layer-compression.ts';

interface Blob {
  readonly compression?: CompressionAlgorithm;
  /** Repositories and the time of the sighting, newest first. */
  readonly seen?: Readonly<Record<string, number>>;
}

// Digests are short names here, for the choice does not look into them.
const uncompressed = 'tar' as Digest;

function factsOf(blobs: Readonly<Record<string, Blob>>): CandidateFacts {
  return {
    uncompressedDigest: (digest) => (digest in blobs ? uncompressed : undefined),
    compressedForms: () => Object.keys(blobs).filter((name) => name !== uncompressed) as Digest[],
    compressor: (digest) => blobs[digest]?.compression,
    sightings: (digest) =>
      Object.entries(blobs[digest]?.seen ?? {}).map(([repository, seenAt]) => ({
        location: { registry: 'registry.test', repository },
        seenAt,
      })),
  };
}

/** The candidates for the blob `wanted`, each as `digest@repository as compression`. */
function candidates(blobs: Readonly<Record<string, Blob>>, options: CandidateOptions): readonly string[] {
  return candidateLocations(factsOf(blobs), 'wanted' as Digest, options).map(
    ({ digest, location, compression }) => `${digest}@${location?.repository ?? '-'} as ${compression ?? '?'}`,
  );
}

const cases: readonly {
  readonly name: string;
  readonly blobs: Readonly<Record<string, Blob>>;
  readonly options?: CandidateOptions;
  readonly expected: readonly string[];
}[] = [
  { name: 'nothing is known', blobs: {}, expected: [] },
  {
    name: 'the blob itself needs a location, but no compression',
    blobs: { wanted: { seen: { a: 2, b: 1 } } },
    expected: ['wanted@a as ?', 'wanted@b as ?'],
  },
  {
    name: 'the blob itself without a location is no candidate',
    blobs: { wanted: { compression: 'gzip' } },
    expected: [],
  },
  {
    name: 'substitutes are left out unless they are allowed',
    blobs: { wanted: { seen: { a: 1 } }, zst: { compression: 'zstd', seen: { b: 2 } } },
    options: { canSubstitute: false },
    expected: ['wanted@a as ?'],
  },
  {
    name: 'the blob itself comes first, the others newest first and by digest, the uncompressed one last',
    blobs: {
      wanted: { compression: 'gzip', seen: { a: 1 } },
      tar: { compression: 'uncompressed', seen: { t: 9 } },
      gz2: { compression: 'gzip', seen: { g: 5 } },
      gz1: { compression: 'gzip', seen: { g: 5 } },
      zst: { compression: 'zstd', seen: { z: 7 } },
    },
    expected: ['wanted@a as gzip', 'zst@z as zstd', 'gz1@g as gzip', 'gz2@g as gzip', 'tar@t as uncompressed'],
  },
  {
    name: 'sightings of several substitutes are mixed by their time',
    blobs: {
      wanted: {},
      one: { compression: 'gzip', seen: { a: 9, b: 3 } },
      two: { compression: 'zstd', seen: { c: 5 } },
    },
    expected: ['one@a as gzip', 'two@c as zstd', 'one@b as gzip'],
  },
  {
    name: 'a substitute of unknown compression is dropped',
    blobs: { wanted: {}, odd: { seen: { a: 1 } }, odder: {} },
    expected: [],
  },
  {
    name: 'two at most have no location, and these come after all that have one',
    blobs: {
      wanted: {},
      a: { compression: 'gzip' },
      b: { compression: 'zstd' },
      c: { compression: 'zstd' },
      tar: { compression: 'uncompressed', seen: { t: 1 } },
    },
    expected: ['tar@t as uncompressed', 'a@- as gzip', 'b@- as zstd'],
  },
  {
    name: 'there are five in all, those without a location included',
    blobs: {
      wanted: { compression: 'gzip', seen: { a: 4, b: 3, c: 2, d: 1 } },
      x: { compression: 'gzip' },
      y: { compression: 'gzip' },
    },
    expected: ['wanted@a as gzip', 'wanted@b as gzip', 'wanted@c as gzip', 'wanted@d as gzip', 'x@- as gzip'],
  },
  {
    name: 'located ones leave no room for others',
    blobs: { wanted: { seen: { a: 6, b: 5, c: 4, d: 3, e: 2, f: 1 } }, x: { compression: 'gzip' } },
    expected: ['wanted@a as ?', 'wanted@b as ?', 'wanted@c as ?', 'wanted@d as ?', 'wanted@e as ?'],
  },
  {
    name: 'a variant goes by its base where only that can be named, and what cannot be named is dropped',
    blobs: {
      wanted: { compression: 'zstd', seen: { a: 1 } },
      esgz: { compression: 'estargz', seen: { e: 3 } },
      zc: { compression: 'zstd:chunked', seen: { z: 2 } },
    },
    options: { canSubstitute: true, acceptable: ['gzip', 'uncompressed'] },
    expected: ['wanted@a as zstd', 'esgz@e as gzip'],
  },
  {
    name: 'a variant keeps its name where that can be named',
    blobs: { wanted: {}, zc: { compression: 'zstd:chunked', seen: { z: 2 } } },
    options: { canSubstitute: true, acceptable: ['zstd', 'zstd:chunked'] },
    expected: ['zc@z as zstd:chunked'],
  },
];

for (const { name, blobs, options = { canSubstitute: true }, expected } of cases) {
  test(`candidates: ${name}`, () => assert.deepEqual(candidates(blobs, options), expected));
}
