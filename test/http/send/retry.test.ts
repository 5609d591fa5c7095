import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { ImgcopyError } from '../../../src/errors/imgcopy-error.ts';
import { NetworkError } from '../../../src/http/send/network-error.ts';
import { isPassing, retry, retryAfterMs, type RetryOptions } from '../../../src/http/send/retry.ts';
import type { Headers, HttpRequest, HttpResponse, RequestBody, Retry } from '../../../src/http/send/send.ts';
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from '../../../src/retry/attempts.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');
const url = new URL('https://registry.test/v2/app/manifests/v1?token=secret');

type Answer = readonly [status: number, headers?: Headers, body?: string] | Error;

interface Played {
  /** The status that came back in the end, or the error. */
  readonly outcome: unknown;
  /** The body that came back. */
  readonly said: string | undefined;
  readonly requests: number;
  readonly slept: readonly number[];
  readonly retries: readonly Retry[];
  readonly bodies: readonly Readable[];
}

/** Answers requests one after the other, the last answer as often as needed, and writes down what the layer does. */
async function play(
  answers: readonly Answer[],
  options: Partial<HttpRequest> = {},
  policy: Partial<RetryPolicy> = {},
  retryOptions: RetryOptions = {},
): Promise<Played> {
  const slept: number[] = [];
  const retries: Retry[] = [];
  const bodies: Readable[] = [];
  let requests = 0;
  const layer = retry(
    {
      ...DEFAULT_RETRY_POLICY,
      random: () => 1,
      now: () => NOW,
      sleep: (ms, signal) => {
        slept.push(ms);
        signal?.throwIfAborted();
        return Promise.resolve();
      },
      ...policy,
    },
    retryOptions,
  );
  const send = layer((): Promise<HttpResponse> => {
    const answer = answers[Math.min(requests, answers.length - 1)] ?? [200];
    requests += 1;
    if (answer instanceof Error) return Promise.reject(answer);
    const body = Readable.from([Buffer.from(answer[2] ?? 'said')]);
    bodies.push(body);
    return Promise.resolve({ status: answer[0], headers: answer[1] ?? {}, body, url });
  });
  const observer = { onRetry: (one: Retry): void => void retries.push(one) };
  let said: string | undefined;
  const outcome: unknown = await send({ method: 'PUT', url, side: 'destination', observer, ...options }).then(
    async (response) => {
      said = Buffer.concat((await response.body.toArray()) as Buffer[]).toString();
      return response.status;
    },
    (error: unknown) => error,
  );
  return { outcome, said, requests, slept, retries, bodies };
}

function networkError(code: string): NetworkError {
  const failures = {
    ENOTFOUND: 'unresolved',
    ECONNREFUSED: 'refused',
    EPROTO: 'tls',
    CERT_HAS_EXPIRED: 'certificate',
  } as const;
  const failure = failures[code as keyof typeof failures] ?? 'lost';
  return new NetworkError({ method: 'GET', url, side: 'source' }, failure, new Error(code));
}

test('sends again what may pass, and nothing else (behaviour 46)', async () => {
  // 520 to 530 are Cloudflare's.
  const passing = [408, 429, 499, 500, 502, 503, 504, 507, 520, 524, 530, 599];
  const lasting = [200, 201, 202, 206, 307, 400, 401, 403, 404, 405, 409, 411, 413, 415, 416, 418, 422, 501, 505, 511];
  for (const status of passing) {
    assert.deepEqual(pick(await play([[status], [201]])), { outcome: 201, requests: 2 }, `${status}`);
  }
  for (const status of lasting) {
    assert.deepEqual(pick(await play([[status], [201]])), { outcome: status, requests: 1 }, `${status}`);
  }
});

test('hands the last answer on when the retries are spent, and has let go of those before it', async () => {
  const { outcome, said, requests, slept, bodies } = await play([[502]]);
  assert.deepEqual([outcome, said, requests], [502, 'said', 6]);
  assert.deepEqual(slept, [500, 1000, 2000, 4000, 8000]);
  assert.ok(bodies.every((body) => body.destroyed));
});

test('does not ask again after a refusal for good, whatever its status, and hands its text on', async () => {
  for (const code of ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_INVALID', 'NAME_UNKNOWN', 'DENIED']) {
    const text = JSON.stringify({ errors: [{ code, message: 'no' }] });
    for (const status of [500, 503]) {
      const { outcome, said, requests } = await play([[status, {}, text], [201]]);
      assert.deepEqual([outcome, said, requests], [status, text, 1]);
    }
  }
  const unknown = JSON.stringify({ errors: [{ code: 'UNKNOWN' }] });
  assert.equal((await play([[500, {}, unknown], [201]])).outcome, 201);
});

test('waits out TOOMANYREQUESTS under any status, without spending retries', async () => {
  const text = JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'slow down' }] });
  for (const status of [400, 403, 500, 503]) {
    const limited: Answer = [status, { 'retry-after': '3' }, text];
    const { outcome, slept } = await play([limited, limited, [201]], {}, { retries: 1 });
    assert.deepEqual([outcome, slept], [201, [3000, 3000]], `${status}`);
  }
});

test('takes an error for what its status says when its body is cut or has no end', async () => {
  const endless = new Readable({
    read(): void {
      this.push(Buffer.alloc(16 * 1024, 'x'));
    },
  });
  const cut = new Readable({
    read(): void {
      this.destroy(new Error('reset'));
    },
  });
  for (const body of [endless, cut]) {
    const send = retry(DEFAULT_RETRY_POLICY)(() => Promise.resolve({ status: 403, headers: {}, body, url }));
    const { status, body: kept } = await send({ method: 'GET', url, side: 'source' });
    const bytes = Buffer.concat((await kept.toArray()) as Buffer[]);
    assert.deepEqual([status, bytes.length <= 128 * 1024, body.destroyed], [403, true, true]);
  }
});

test('sends lost requests again, and never one that TLS refused', async () => {
  const cases: readonly [code: string, requests: number][] = [
    ['ECONNRESET', 6],
    ['ENOTFOUND', 6],
    ['ECONNREFUSED', 6],
    ['EPROTO', 1],
    ['CERT_HAS_EXPIRED', 1],
  ];
  for (const [code, requests] of cases) {
    const error = networkError(code);
    assert.deepEqual(pick(await play([error])), { outcome: error, requests }, code);
    assert.equal(isPassing(error), requests > 1);
  }
});

test('gives up after one retry where a host cannot be connected to that has never answered', async () => {
  for (const code of ['ENOTFOUND', 'ECONNREFUSED']) {
    const error = networkError(code);
    const { outcome, requests, slept } = await play([error], {}, {}, { failsFast: true });
    assert.deepEqual([outcome, requests, slept], [error, 2, [500]], code);
    assert.equal((await play([error, [201]], {}, {}, { failsFast: true })).outcome, 201);
    assert.equal((await play([[503], error], {}, {}, { failsFast: true })).requests, 6, 'it answered once');
  }
  assert.equal((await play([networkError('ECONNRESET')], {}, {}, { failsFast: true })).requests, 6);
});

test('does not send again after what is no failure of the network', async () => {
  for (const error of [new ImgcopyError('no', { code: 'ERR_NO' }), new TypeError('a mistake')]) {
    assert.deepEqual(pick(await play([error])), { outcome: error, requests: 1 });
    assert.equal(isPassing(error), false);
  }
});

test('sends bytes and factories of streams again, a bare stream never', async () => {
  const bodies: readonly [body: RequestBody | undefined, requests: number][] = [
    [undefined, 2],
    [Buffer.from('bytes'), 2],
    [() => Readable.from(['bytes']), 2],
    [Readable.from(['bytes']), 1],
  ];
  for (const [body, requests] of bodies) {
    for (const answer of [[429], [503], networkError('ECONNRESET')] as const) {
      assert.equal((await play([answer, [201]], { body })).requests, requests);
    }
  }
});

test('waits a 429 out without spending retries, and no more than eight times (behaviour 45)', async () => {
  const limited: Answer = [429, { 'retry-after': '1' }];
  const mixed = await play([limited, [500], limited, [500], limited, [201]], {}, { retries: 2 });
  assert.deepEqual(pick(mixed), { outcome: 201, requests: 6 });
  const endless = await play([limited], {}, { retries: 1 });
  assert.deepEqual(pick(endless), { outcome: 429, requests: 9 });
  assert.deepEqual(new Set(endless.slept), new Set([1000]));
});

test('backs off from a 429 that says nothing of time', async () => {
  const { slept } = await play([[429], [429], [429], [201]]);
  assert.deepEqual(slept, [1000, 2000, 4000]);
});

test('obeys Retry-After, in seconds and as a date, up to five minutes (behaviour 45)', async () => {
  const cases: readonly [value: string, delayMs: number][] = [
    ['7', 7000],
    [' 7 ', 7000],
    ['0', 500],
    ['301', 300_000],
    ['99999999999999', 300_000],
    ['Tue, 01 Jan 2030 00:00:09 GMT', 9000],
    ['Tue, 01 Jan 2030 02:00:00 GMT', 300_000],
    ['Mon, 31 Dec 2029 00:00:00 GMT', 500],
    ['soon', 500],
    ['', 500],
  ];
  for (const [value, delayMs] of cases) {
    const { slept } = await play([[503, { 'retry-after': value }], [201]]);
    assert.deepEqual(slept, [delayMs], value);
  }
});

test('reads Retry-After as time from now', () => {
  const cases = [
    { value: '120', ms: 120_000 },
    { value: 'Tue, 01 Jan 2030 00:00:30 GMT', ms: 30_000 },
    { value: 'never', ms: undefined },
    { value: undefined, ms: undefined },
  ];
  for (const { value, ms } of cases) assert.equal(retryAfterMs({ headers: { 'retry-after': value } }, NOW), ms, value);
});

test('takes the retries of the request, but never more than the run has; none at all where either says 0', async () => {
  for (const answer of [[500], [429], networkError('ECONNRESET')] as const) {
    assert.equal((await play([answer], { retries: 0 })).requests, 1);
  }
  assert.equal((await play([[500]], { retries: 1 })).requests, 2);
  assert.equal((await play([[500]], { retries: 1 }, { retries: 0 })).requests, 1);
});

test('tells its observer what is asked again, why and when, without secrets', async () => {
  const { retries } = await play([[503], networkError('ECONNRESET'), [201]]);
  const what = 'PUT https://registry.test/v2/app/manifests/v1';
  assert.deepEqual(retries, [
    { side: 'destination', what, why: '503', delayMs: 500 },
    { side: 'destination', what, why: 'GET https://registry.test/v2/app/manifests/v1: ECONNRESET', delayMs: 1000 },
  ]);
});

test('stops as soon as the signal is aborted, in the middle of a wait too', async () => {
  const controller = new AbortController();
  const sleep = (_ms: number, signal?: AbortSignal): Promise<void> => {
    controller.abort();
    signal?.throwIfAborted();
    return Promise.resolve();
  };
  const waiting = await play([[500]], { signal: controller.signal }, { sleep });
  assert.deepEqual(pick(waiting), { outcome: controller.signal.reason, requests: 1 });
  assert.deepEqual(pick(await play([[500]], { signal: controller.signal })), { outcome: 500, requests: 1 });
});

function pick({ outcome, requests }: Played): Pick<Played, 'outcome' | 'requests'> {
  return { outcome, requests };
}
