import { generateKeyPairSync, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/** A key and its certificate, in PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

const ECDSA_WITH_SHA256 = '06082a8648ce3d040302';
const COMMON_NAME = '0603550403';
const BASIC_CONSTRAINTS = '0603551d13';
const SUBJECT_ALT_NAME = '0603551d11';

/**
 * Makes a certificate that is its own authority, good for servers and clients, valid until 2049.
 * @param names  host names and IPv4 addresses; default 127.0.0.1 and localhost.
 * @param validity  as `YYMMDDhhmmssZ`.
 * @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 */
export function selfSignedCertificate(
  names: readonly string[] = ['127.0.0.1', 'localhost'],
  { notBefore = '000101000000Z', notAfter = '491231235959Z' }: { notBefore?: string; notAfter?: string } = {},
): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(hex(ECDSA_WITH_SHA256));
  const name = sequence(
    der(0x31, sequence(hex(COMMON_NAME), der(0x0c, Buffer.from(`imgcopy test ${names.join(' ')}`)))),
  );
  const validity = sequence(der(0x17, Buffer.from(notBefore)), der(0x17, Buffer.from(notAfter)));
  const subjectKey = publicKey.export({ type: 'spki', format: 'der' });
  const extensions = sequence(
    sequence(hex(BASIC_CONSTRAINTS), der(0x01, Buffer.of(0xff)), der(0x04, sequence(der(0x01, Buffer.of(0xff))))),
    sequence(hex(SUBJECT_ALT_NAME), der(0x04, sequence(...names.map(generalName)))),
  );
  const version = der(0xa0, der(0x02, Buffer.of(2)));
  const serial = der(0x02, Buffer.of(1));
  const body = sequence(version, serial, algorithm, name, validity, name, subjectKey, der(0xa3, extensions));
  const signature = der(0x03, Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)]));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: pem(sequence(body, algorithm, signature)),
  };
}

function generalName(name: string): Buffer {
  if (isIPv4(name)) return der(0x87, Buffer.from(name.split('.').map(Number)));
  return der(0x82, Buffer.from(name));
}

function sequence(...content: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(content));
}

/** One element of the distinguished encoding: tag, length, content. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 0xff), content]);
}

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
