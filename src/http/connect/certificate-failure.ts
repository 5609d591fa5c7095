import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { ConnectFailure, type ConnectFailureOptions } from './connect-failure.ts';

/** Says why a server's certificate is not accepted, from what the server showed. */
export function certificateFailure(socket: TLSSocket, host: string): ConnectFailure {
  const { authorizationError } = socket;
  // Declared as an Error; it is the code of one.
  const code = String(authorizationError);
  const chain = chainOf(socket.getPeerCertificate(true));
  const [message, hint] = explain(code, chain, host);
  return new ConnectFailure('certificate', message, { hint });
}

type Explanation = readonly [message: string, hint: NonNullable<ConnectFailureOptions['hint']>];

function explain(code: string, chain: readonly DetailedPeerCertificate[], host: string): Explanation {
  const [own] = chain;
  const its = `the certificate of ${host}`;
  switch (code) {
    case 'CERT_HAS_EXPIRED': {
      const expired = chain.find(({ valid_to }) => Date.parse(valid_to) < Date.now()) ?? own;
      const whose = expired === own ? its : `the certificate of ${nameOf(expired?.subject)}, an authority of ${host},`;
      return [
        `${whose} expired on ${dateOf(expired?.valid_to)}`,
        (option) => `ask the registry's owner to renew it; ${option('tls-verify')}=false skips the check`,
      ];
    }
    case 'CERT_NOT_YET_VALID':
      return [
        `${its} is not valid before ${dateOf(own?.valid_from)}`,
        () => `check the clock of this machine: it says ${new Date().toISOString()}`,
      ];
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return [
        `${its} is for other names: ${namesIn(own)}`,
        (option) => `use one of these names, or skip the check with ${option('tls-verify')}=false`,
      ];
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return [`${its} is self-signed and not trusted`, trustIt('the certificate')];
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE': {
      const issuer = nameOf(chain.at(-1)?.issuer);
      return [
        `${its} is from an authority that is not trusted: ${issuer}`,
        trustIt('the certificate of the authority'),
      ];
    }
    default:
      return [`${its} is not accepted: ${code}`, trustIt('the certificate of the authority')];
  }
}

function trustIt(what: string): Explanation[1] {
  return (option) => `add ${what} with ${option('ca-file')}, or skip the check with ${option('tls-verify')}=false`;
}

/** From the server's own certificate upwards. */
function chainOf(own: DetailedPeerCertificate): readonly DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = [];
  // A root is its own issuer.
  for (let next: DetailedPeerCertificate | undefined = own; next?.raw !== undefined && !chain.includes(next);)
    [next] = [next.issuerCertificate, chain.push(next)];
  return chain;
}

function nameOf(name: DetailedPeerCertificate['subject'] | undefined): string {
  const parts = [name?.CN, name?.O, name?.OU].flat();
  return JSON.stringify(parts.find((part) => part !== undefined) ?? 'without a name');
}

function namesIn(certificate: DetailedPeerCertificate | undefined): string {
  const names = certificate?.subjectaltname?.replaceAll(/\b(?:DNS|IP Address):/g, '');
  return names ?? (certificate === undefined ? 'none' : nameOf(certificate.subject));
}

function dateOf(text: string | undefined): string {
  const date = new Date(text ?? '');
  return Number.isNaN(date.getTime()) ? String(text) : date.toISOString();
}
