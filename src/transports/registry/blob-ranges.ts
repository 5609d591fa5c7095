import { formatRange } from '../../http/byte-ranges.ts';
import { backoff, type HttpResponse, type RequestObserver, type RetryPolicy } from '../../http/index.ts';
import { readRanges } from '../../http/range-reader.ts';
import type { BlobChunkAccessor, ImageSourceChunk, RangeSupport } from '../../types/blob-chunk-accessor.ts';
import type { BlobInfo } from '../../types/blob-info.ts';
import { WholeBlobError } from '../../types/errors.ts';
import { resumingStream } from './blob-download.ts';
import type { RegistryClient } from './client.ts';

export interface BlobRangesOptions {
  readonly policy: RetryPolicy;
  readonly observer?: RequestObserver | undefined;
}

/** Reads ranges of a repository's blobs, each list of them by one GET. An answer that is cut is taken up again at its offset. */
export function registryBlobRanges(client: RegistryClient, options: BlobRangesOptions): BlobChunkAccessor {
  const { policy, observer } = options;
  const rangeSupport: RangeSupport = { isLocal: false, ranges: undefined, multiRange: undefined };
  return {
    rangeSupport,
    getBlobAt(info, chunks, { signal, takesWholeBlob = false } = {}) {
      const fetch = async (wanted: readonly ImageSourceChunk[], fetchSignal: AbortSignal): Promise<HttpResponse> => {
        const response = await client.getBlob(info.digest, {
          signal: takesWholeBlob ? signal : fetchSignal,
          range: formatRange(wanted),
        });
        if (response.status !== 200 || !takesWholeBlob) return response;
        const stream = resumingStream(client, info.digest, info.size, response, { policy, observer, signal });
        throw new WholeBlobError(stream, { side: client.side });
      };
      const wait = async (failures: number, waitSignal: AbortSignal): Promise<void> => {
        const delayMs = backoff(policy, failures - 1);
        observer?.onRetry?.({
          side: client.side,
          what: `ranges of blob ${info.digest}`,
          why: 'the answer was cut',
          delayMs,
        });
        await policy.sleep(delayMs, waitSignal);
      };
      return readRanges(fetch, info, chunks, { signal, resume: { attempts: policy.retries, wait } });
    },
  };
}

/** Whether a blob is kept at foreign URLs, from which ranges cannot be had. */
export function isForeign({ urls }: BlobInfo): boolean {
  return (urls?.length ?? 0) > 0;
}
