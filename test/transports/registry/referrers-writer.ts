// A process of its own that adds one referrer to each of many subjects when it is told to, all of them at once.
import { DEFAULT_RETRY_POLICY } from '../../../src/retry/attempts.ts';
import { parseRegistryReference } from '../../../src/reference/registry-reference.ts';
import { openRegistryDestination } from '../../../src/transports/registry/registry-destination.ts';
import { endpointOf, openAccess } from '../../support/registry-transport.ts';
import { referrerOf } from './referrers-writers.ts';

const [host = '', writer = ''] = process.argv.slice(2);
const reference = parseRegistryReference(`${host}/app:v1`, host);

process.on('message', (subjects: readonly number[]) => {
  void (async () => {
    await using access = openAccess({ policy: DEFAULT_RETRY_POLICY });
    const write = async (subject: number): Promise<void> => {
      await using destination = await openRegistryDestination(access, reference, endpointOf(reference));
      const { manifest } = referrerOf(subject, writer);
      await destination.putManifest(manifest, { instanceDigest: manifest.digest });
      await destination.commit();
    };
    await Promise.all(subjects.map(write));
    process.send?.('done', () => process.disconnect());
  })();
});
process.send?.('ready');
