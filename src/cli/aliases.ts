import { formatPlatform, ImgcopyError, parsePlatform } from '../index.ts';

/** Names that people bring along from other copiers, without `=value`, and what they are here. Each rule sees what those before it made. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^--from-/, '--src-'],
  [/^--to-/, '--dest-'],
  [/^(--src-|--dest-|--)registry-config$/, '$1authfile'],
  [/^--(?:src-|dest-)(password-stdin)$/, '--$1'],
  [/^--(?:concurrency|image-parallel-copies)$/, '--jobs'],
  [/^--platforms$/, '--platform'],
  [/^--include-external$/, '--allow-nondistributable-artifacts'],
  [/^(--src-|--dest-|--)insecure$/, '$1tls-verify=false'],
  [/^--no-tty$/, '--progress=plain'],
  [/^-d$/, '--debug'],
  [/^--(?:recursive|digest-tags|include-referrers)$/, '--referrers'],
  [/^--(?:filter-)?artifact-type$/, '--referrers-type'],
  [/^--force-recursive$/, '--force'],
  [/^--user$/, '--username'],
  [/^--pass(-stdin)?$/, '--password$1'],
];

/** Accepted and without effect: imgcopy has no trust policy, knows digests before it uploads, and keeps layers as they are. */
const IGNORED: ReadonlySet<string> = new Set([
  '--insecure-policy',
  '--disable-content-trust',
  '--dest-precompute-digests',
  '--dest-oci-accept-uncompressed-layers',
  '--no-tags',
  '--require-digest',
  '--fast',
  '--slow-referrers',
]);
const IGNORED_WITH_VALUE: ReadonlySet<string> = new Set([
  '--policy',
  '--tmpdir',
  '--distribution-spec',
  '--from-distribution-spec',
  '--to-distribution-spec',
]);

/** What other copiers can do, and what there is here instead. */
const INSTEAD: readonly (readonly [names: readonly string[], instead: string])[] = [
  [
    ['--dest-compress', '--dest-decompress', '--dest-compress-format', '--dest-compress-level'],
    'imgcopy keeps the compression of layers; skopeo copy can change it',
  ],
  [
    ['--encryption-key', '--encrypt-layer', '--decryption-key'],
    'imgcopy copies encrypted layers as they are; skopeo copy encrypts and decrypts',
  ],
  [
    [
      '--sign-by',
      '--sign-by-sigstore',
      '--sign-by-sigstore-private-key',
      '--sign-by-sq-fingerprint',
      '--sign-identity',
      '--sign-passphrase-file',
    ],
    'copy the image, then sign the digest that imgcopy prints, for example with cosign',
  ],
  [['--registries.d'], 'use --referrers to copy signatures in the registry; those on another server are not read'],
  [
    ['--daemon-host', '--src-daemon-host', '--dest-daemon-host'],
    'use a pipe: docker save IMAGE | imgcopy - DST, or imgcopy SRC - | docker load',
  ],
  [
    ['--shared-blob-dir', '--src-shared-blob-dir', '--dest-shared-blob-dir'],
    'give several images one layout, where they share their blobs: oci:PATH:NAME',
  ],
  [
    ['--oci-layout', '--from-oci-layout', '--to-oci-layout'].flatMap((name) => [name, `${name}-path`]),
    'write the layout as oci:PATH:TAG, or as oci-archive:FILE:TAG where it is a tar file',
  ],
  [
    ['--cert-file', '--key-file'].flatMap((name) => withSides(name)),
    'put certificate and key into a directory as client.cert and client.key, and use --cert-dir',
  ],
  [
    [...withSides('--identity-token'), '--identity-token-stdin'],
    'store it in an auth file as identitytoken, and use --authfile',
  ],
  [withSides('--header'), 'use --registry-token to send a bearer token; other headers cannot be added'],
  [withSides('--resolve'), 'add the address to /etc/hosts'],
  [
    ['--referrers-src', '--referrers-tgt', '--external'],
    'use --referrers: referrers are read and written in the repository of the image',
  ],
  [['--host'], 'use --creds, --tls-verify, --plain-http or --ca-file for this run, registries.conf for all'],
  [['--get-login'], 'use imgcopy login --check REGISTRY'],
  [['--omit-digest-tags', '--exclude-digest-tags'], "filter them out: imgcopy tags REPOSITORY | grep -v '^sha256-'"],
  [['--full-ref', '--full-reference'], 'put the name in front: NAME@$(imgcopy digest NAME)'],
];
const UNSUPPORTED: ReadonlyMap<string, (verb: string) => string> = new Map([
  ['--format', insteadOfFormat],
  ...INSTEAD.flatMap(([names, instead]) => names.map((name) => [name, () => instead] as const)),
]);

/** How oras says which side of a copy is meant. */
function withSides(name: string): readonly string[] {
  return ['--', '--from-', '--to-'].map((prefix) => name.replace(/^--/, prefix));
}

function insteadOfFormat(verb: string): string {
  if (verb === 'inspect') return 'use --json, and jq to choose a field: imgcopy inspect --json REF | jq -r .digest';
  if (['digest', 'tags', 'ls', 'list-tags'].includes(verb))
    return `leave it out: imgcopy ${verb} prints one plain value a line`;
  return 'imgcopy keeps the format of a manifest, so that its digest stays; what is printed is chosen with --output';
}

/**
 * The arguments with other copiers' names replaced by ours.
 * @param argv  what the user typed.
 * @throws ImgcopyError of kind `usage` for what imgcopy cannot do.
 */
export function withoutAliases(argv: readonly string[]): string[] {
  const result: string[] = [];
  const override = new Map<string, string>();
  const rest = [...argv];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    if (argument === '--') return [...result, ...overridden(override), argument, ...rest];
    const [name, inline] = split(argument);
    refuseUnsupported(name, argv);
    const value = (): string => inline ?? rest.shift() ?? '';
    const part = /^--override-(os|arch|variant)$/.exec(name)?.[1];
    if (part !== undefined) override.set(part, value());
    else if (name === '--multi-arch') result.push(...multiArch(value()));
    else if (IGNORED_WITH_VALUE.has(name)) value();
    else if (!IGNORED.has(name)) result.push(renamed(name, inline, rest));
  }
  // crane's way to say what is the default here.
  return [...result, ...overridden(override)].filter((argument) => argument !== '--platform=all');
}

function refuseUnsupported(name: string, argv: readonly string[]): void {
  const hintFor = UNSUPPORTED.get(name);
  if (hintFor === undefined) return;
  const verb = argv.find((argument) => /^[a-z]/.test(argument)) ?? '';
  throw new ImgcopyError(`${name} is not supported`, { code: 'ERR_USAGE', kind: 'usage', hint: hintFor(verb) });
}

function renamed(name: string, inline: string | undefined, rest: string[]): string {
  const ours = NAMES.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), name);
  const isBoolean = /^--(?:src-|dest-|)tls-verify$/.test(ours);
  if (isBoolean && inline === undefined)
    return `${ours}=${/^(?:true|false)$/.test(rest[0] ?? '') ? rest.shift() : 'true'}`;
  if (ours === '--platform' && inline === undefined && rest[0] === 'all') return `${ours}=${rest.shift()}`;
  return inline === undefined ? ours : `${ours}=${inline}`;
}

function multiArch(choice: string): readonly string[] {
  if (choice === 'all') return [];
  if (choice === 'system') return ['--platform=local'];
  throw new ImgcopyError(`--multi-arch ${choice} is not supported: expected all or system`, {
    code: 'ERR_USAGE',
    kind: 'usage',
    hint: 'several platforms with the index as it is: --platform … --sparse',
  });
}

function overridden(override: ReadonlyMap<string, string>): readonly string[] {
  if (override.size === 0) return [];
  const local = parsePlatform('local');
  const platform = formatPlatform({
    os: override.get('os') ?? local.os,
    architecture: override.get('arch') ?? local.architecture,
    variant: override.get('variant'),
  });
  return [`--platform=${platform}`];
}

function split(argument: string): readonly [string, string | undefined] {
  const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
  return equals === -1 ? [argument, undefined] : [argument.slice(0, equals), argument.slice(equals + 1)];
}
