// The parts of docs/cli.md that are not in the definition of the command line.

import { transports } from '../src/transports/table.ts';

export const introduction: string = `# The command line

<!-- Written by \`npm run docs\`; changes belong into src/cli and scripts/cli-docs-prose.ts. -->

\`imgcopy SRC DST\` needs no verb: copying is the main job. Options may stand anywhere. An image with the same name as a command
needs its transport: \`docker://tags\`. So does one whose name is a typing error away from a command, or a command of skopeo, crane, regctl, oras or docker.`;

export const references: string = `## References

| form | what it is |
|---|---|
${transports.map(({ form, summary }) => `| \`${form}\` | ${summary} |`).join('\n')}

\`docker://\` may be left out.

Loopback hosts (localhost, 127.0.0.0/8, ::1) are tried with https, then http; all other hosts use https unless you say otherwise.
\`--tls-verify=false\` means both: no certificate checks, and http where https does not answer. A destination in a registry without a
tag takes the source's.

Every option of \`imgcopy copy\`, \`inspect --json\`, and all options for credentials and connections can be set by a variable: IMGCOPY\\_ and the
name in capitals. The command line takes precedence. For an option without a
value, \`1\` switches it on, and \`0\`, \`no\`, \`false\` and nothing leave it off. REGISTRY_AUTH_FILE, DOCKER_CONFIG, DOCKER_AUTH_CONFIG,
XDG_RUNTIME_DIR, HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS, NO_COLOR, FORCE_COLOR and CI are
read as other tools read them, and so are CONTAINERS_REGISTRIES_CONF and its _OVERRIDE.

Durations are written \`90s\`, \`5m\`, \`1h30m\` or \`500ms\`; a bare number is seconds.`;

export const output: string = `## Output

Standard output holds the result and nothing else, so that \`img=$(imgcopy a b)\` works: one line, the destination pinned by digest
(\`docker://host/name@sha256:…\` or \`dir:/path@sha256:…\`). All else goes to standard error. With \`--json\` the line is one object:

\`\`\`json
{
  "source": "docker://docker.io/library/alpine:3.20",
  "destination": "docker://registry.test/alpine:3.20",
  "digest": "sha256:…",
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "size": 9218,
  "durationMs": 1420,
  "manifests": 8,
  "blobs": { "total": 16, "reused": 0, "mounted": 4, "partial": 1, "copied": 11 },
  "bytes": { "total": 48211034, "fetched": 31002211, "reused": 17208823, "uploaded": 34120771 },
  "requests": { "source": 21, "destination": 58 },
  "retries": 0,
  "servedFrom": [{ "address": "docker.io/library/alpine", "manifests": 8, "blobs": 12, "bytes": 31002211 }],
  "skipped": null
}
\`\`\`

\`servedFrom\` names the addresses that manifests and blobs were read from: with [mirrors](registries.md#mirrors-and-blocked-registries), more than one.
\`skipped\` is \`"same"\` where the destination had this image already, and \`"exists"\` where \`--no-clobber\` left every name unchanged.
\`--digestfile\` writes the digest without a trailing newline.

With \`--all-tags\`, standard output has a line for each tag as it ends, with its tag and digest (\`docker://host/name:tag@sha256:…\`), and none for one that failed. With \`--json\` each line is an object with \`tag\`;
one that failed has \`error\`, and \`gone\` is true where the tag was deleted after it was listed.

With several destinations, standard output has a line for each, in the order given: an empty one where the copy failed, or with \`--json\` an object with \`source\`,
\`destination\` and \`error\` (\`code\`, \`kind\`, \`message\`, \`side\`, \`request\`, \`hint\`). The requests to the source count for all of them together. One that fails does not stop
the others. \`--digestfile\` gets the digest that all copies have; where they differ, it is not written, and the exit status is 2. Credentials and client certificates for the
destination are refused with exit status 2 where there is more than one registry to send them to; \`imgcopy login\` and auth files know one for each.

With \`--dry-run\`, standard output has a table, or with \`--json\` the plan in the place of each of these objects. Several destinations have \`together\` in each: the bytes from the source, counted once for all, and those to all destinations.

On a terminal, progress is one overall line plus one per active blob; they are replaced by a summary at the end.
Elsewhere, and where \`CI\` is set, it is plain lines: one when each blob finishes, and one every few seconds. \`--progress json\` prints the
events of the library, one JSON object per line. A second Ctrl-C stops the run immediately.

An error is one paragraph: what failed; the side, the request and the answer; what to do, and a code that stays the same. Stack traces
come with \`--debug\` alone.

    imgcopy: copying docker://registry.test/app:2 to dir:app
      source: GET https://registry.test/v2/app/manifests/2: 404 (MANIFEST_UNKNOWN: manifest unknown)
      hint: check the name and the tag; imgcopy tags registry.test/app lists the tags    [ERR_NOT_FOUND]`;

export const statuses: string = `## Exit statuses

| status | meaning |
|---|---|
| 0 | copied, or nothing to do |
| 1 | failed |
| 2 | wrong usage, or a destination that asks for another digest |
| 3 | the source image, tag or platform does not exist |
| 4 | denied (401, 403); Docker Hub and GHCR also answer like this for what does not exist |
| 5 | what arrived is not what its digest says; \`verify\`: something is missing or wrong |
| 6 | still rate limited after all retries |
| 7 | of several destinations or tags, some failed. Where all failed: the status that they share, else 1 |
| 130, 143 | interrupted, terminated |
| 141 | the program that reads an archive from standard output, or from a named pipe, has stopped reading |`;

export const aliases: string = `## Names from other tools

These are accepted as aliases:

| typed | taken for | known from |
|---|---|---|
| \`--from-…\`, \`--to-…\` | \`--src-…\`, \`--dest-…\` | oras |
| \`--registry-config FILE\` | \`--authfile FILE\` | oras |
| \`--concurrency N\`, \`--image-parallel-copies N\` | \`--jobs N\` | oras, skopeo |
| \`--insecure\`, \`--src-insecure\`, \`--dest-insecure\` | \`--tls-verify=false\` of that side | crane, oras |
| \`--platform all\` | the default | crane |
| \`--platforms LIST\` | \`--platform LIST\` | regctl |
| \`--include-external\` | \`--allow-nondistributable-artifacts\` | regctl |
| \`--no-tty\` | \`--progress plain\` | oras |
| \`-d\` | \`--debug\` | oras |
| \`--recursive\`, \`--include-referrers\` | \`--referrers\` | oras |
| \`--digest-tags\` | \`--referrers\` | regctl |
| \`--artifact-type TYPE\`, \`--filter-artifact-type TYPE\` | \`--referrers-type TYPE\` | oras, regctl |
| \`--force-recursive\` | \`--force\` | regctl |
| \`--platform OS/ARCH,osver=VERSION\` | \`--platform OS/ARCH:VERSION\` | regctl |
| \`--user\`, \`--pass\`, \`--pass-stdin\` | \`--username\`, \`--password\`, \`--password-stdin\` | regctl |
| \`--multi-arch all\`, \`--multi-arch system\` | the default; \`--platform local\` | skopeo |
| \`--override-os\`, \`--override-arch\`, \`--override-variant\` | \`--platform\`, with this machine's values for the rest | skopeo |
| \`--tls-verify\` without a value | \`--tls-verify=true\` | skopeo |
| \`--insecure-policy\`, \`--policy FILE\`, \`--disable-content-trust\` | nothing: imgcopy has no trust policy | skopeo, docker |
| \`--tmpdir DIR\`, \`--dest-precompute-digests\`, \`--dest-oci-accept-uncompressed-layers\`, \`--no-tags\` | nothing: imgcopy does so anyway, or does not need it | skopeo |
| \`--fast\`, \`--slow-referrers\`, \`--require-digest\` | nothing, for the same reason | regctl |
| \`--distribution-spec VERSION\`, for either side too | nothing: both ways to find referrers are tried | oras |

Options without a counterpart are usage errors, with a hint. These pages have every option and command of the other tools: [skopeo](coming-from-skopeo.md), [crane](coming-from-crane.md),
[regctl](coming-from-regctl.md), [oras](coming-from-oras.md), [docker](coming-from-docker.md).

crane's \`cp -a\` copies all tags. \`imgcopy -a\` copies all platforms of one tag, and warns where the source names no tag; \`--all-tags\` copies all.`;
