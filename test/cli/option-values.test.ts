import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from 'commander';
import {
  collect,
  collectPlatforms,
  parseBoolean,
  parseByteRate,
  parseCount,
  parseDuration,
  parseOnePlatform,
  parsePositive,
  parsePositiveDuration,
} from '../../src/cli/option-values.ts';
import { ImgcopyError } from '../../src/index.ts';

type Parser = (text: string) => unknown;

const accepted: readonly (readonly [Parser, text: string, value: unknown])[] = [
  [parseDuration, '90s', 90_000],
  [parseDuration, '5m', 300_000],
  [parseDuration, '1h30m', 5_400_000],
  [parseDuration, '500ms', 500],
  [parseDuration, '1.5s', 1500],
  [parseDuration, '20', 20_000],
  [parseDuration, '0', 0],
  [parsePositiveDuration, '1ms', 1],
  [parseCount, '0', 0],
  [parseCount, '12', 12],
  [parsePositive, '1', 1],
  [parseByteRate, '10M', 10_485_760],
  [parseByteRate, '512k', 524_288],
  [parseByteRate, '1.5G', 1_610_612_736],
  [parseByteRate, '100000', 100_000],
  [parseBoolean, 'true', true],
  [parseBoolean, '1', true],
  [parseBoolean, 'False', false],
  [parseBoolean, '0', false],
];

for (const [parse, text, value] of accepted) {
  test(`${parse.name} reads ${text} as ${String(value)}`, () => assert.equal(parse(text), value));
}

const refused: readonly (readonly [Parser, text: string])[] = [
  [parseDuration, ''],
  [parseDuration, 's'],
  [parseDuration, '5x'],
  [parseDuration, '-5s'],
  [parseDuration, '5 s'],
  [parseDuration, '1000h'],
  [parsePositiveDuration, '0s'],
  [parseCount, '-1'],
  [parseCount, '1.5'],
  [parseCount, '10000000'],
  [parsePositive, '0'],
  [parseByteRate, ''],
  [parseByteRate, '0'],
  [parseByteRate, '0.1'],
  [parseByteRate, '-1M'],
  [parseByteRate, '10T'],
  [parseByteRate, '10 M'],
  [parseByteRate, '99999999999999G'],
  [parseBoolean, ''],
  [parseBoolean, 'maybe'],
];

for (const [parse, text] of refused) {
  test(`${parse.name} refuses ${JSON.stringify(text)}`, () => assert.throws(() => parse(text), InvalidArgumentError));
}

test('platforms come by commas and by repetition', () => {
  const amd64 = { os: 'linux', architecture: 'amd64' };
  const arm = { os: 'linux', architecture: 'arm', variant: 'v7' };
  assert.deepEqual(collectPlatforms('linux/amd64, linux/arm/v7', undefined), [amd64, arm]);
  assert.deepEqual(collectPlatforms('linux/arm/v7', [amd64]), [amd64, arm]);
  assert.throws(() => collectPlatforms('linux/amd64,,', undefined), ImgcopyError);
});

test('a version of an operating system may be written as regctl writes it', () => {
  const windows = { os: 'windows', architecture: 'amd64', osVersion: '10.0.20348' };
  const linux = { os: 'linux', architecture: 'arm64' };
  assert.deepEqual(parseOnePlatform('windows/amd64,osver=10.0.20348'), windows);
  assert.deepEqual(collectPlatforms('windows/amd64,osver=10.0.20348,linux/arm64', undefined), [windows, linux]);
});

test('a repeated option keeps all its values', () => {
  assert.deepEqual(collect('2', collect('1', undefined)), ['1', '2']);
});
