import type { Digest } from '../../../src/digest/digest.ts';
import type { RawManifest } from '../../../src/contract/blob-info.ts';
import type { Exchange } from './exchange.ts';
import { parseManifest } from './manifests.ts';
import type { RegistryState } from './state.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';

/** GET of the tags of a repository, with `n` and `last`. */
export async function listTags(exchange: Exchange, registry: RegistryState, name: string): Promise<void> {
  const repository = registry.store.find(name);
  if (repository === undefined)
    return await exchange.fail(404, 'NAME_UNKNOWN', 'repository name not known to registry', { name });
  const last = exchange.query('last') ?? '';
  const limit = Number(exchange.query('n') ?? Infinity);
  const following = [...repository.tags.keys()].filter((tag) => tag > last).toSorted();
  const tags = following.slice(0, limit);
  const isMore = tags.length < following.length && tags.length > 0;
  const next = `/v2/${name}/tags/list?n=${limit}&last=${encodeURIComponent(tags.at(-1) ?? '')}`;
  await exchange.answerJson({ name, tags }, isMore ? { link: `<${next}>; rel="next"` } : {});
}

/** GET of the referrers of a manifest, as an index. */
export async function listReferrers(
  exchange: Exchange,
  registry: RegistryState,
  name: string,
  digest: string,
): Promise<void> {
  if (!registry.settings.referrers)
    return await exchange.answer(404, { 'content-type': 'text/plain' }, Buffer.from('404 page not found\n'));
  const { referrersPage, referrersFilter } = registry.settings;
  const wanted = referrersFilter ? exchange.query('artifactType') : undefined;
  const stored = [...(registry.store.find(name)?.manifests.values() ?? [])];
  const first = Number(exchange.query('from') ?? 0);
  const all = stored
    .flatMap((manifest) => describeReferrer(manifest, digest as Digest))
    .filter((referrer) => wanted === undefined || referrer.artifactType === wanted);
  const manifests = all.slice(first, first + referrersPage);
  const next = first + referrersPage;
  const filter = wanted === undefined ? '' : `&artifactType=${encodeURIComponent(wanted)}`;
  await exchange.answerJson(
    { schemaVersion: 2, mediaType: INDEX, manifests },
    {
      'content-type': INDEX,
      ...(next < all.length && { link: `</v2/${name}/referrers/${digest}?from=${next}${filter}>; rel="next"` }),
      ...(wanted === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
    },
  );
}

interface Referrer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly artifactType: string | undefined;
  readonly annotations?: Readonly<Record<string, string>>;
}

function describeReferrer(manifest: RawManifest, subject: Digest): readonly Referrer[] {
  const content = parseManifest(manifest.bytes);
  if (content?.subject?.digest !== subject) return [];
  return [
    {
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      artifactType: content.artifactType ?? content.config?.mediaType,
      ...(content.annotations === undefined ? {} : { annotations: content.annotations }),
    },
  ];
}
