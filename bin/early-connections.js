const { readdirSync, readFileSync } = require('node:fs');
const { connect, isIP, isIPv4, isIPv6 } = require('node:net');
const path = require('node:path');

// Begins TCP connections to the registries of a command line before the program is loaded, which takes as long as a handshake with a host
// that is not far. Only where it is certain what will be asked: otherwise the program opens its connections itself.

/** Where src/http/connect/early-sockets.ts looks for them. */
const EARLY = Symbol.for('imgcopy.early-sockets');
const PROXIES = ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy'];
/** Options without a value: what comes after another option may be its value. */
const FLAGS = new Set([
  '-q',
  '-v',
  '-a',
  '--quiet',
  '--verbose',
  '--debug',
  '--all',
  '--force',
  '--no-cache',
  '--plain-http',
  '--src-plain-http',
  '--dest-plain-http',
  '--sparse',
]);
const REFERENCE = /^(docker:\/\/)?([\w-]+(?:\.[\w-]+)*)(?::(\d{1,5}))?\//;
/** A name takes a turn of the event loop to resolve, where it is known to the system; loading the program would block it. */
const LOOKUP_MS = 4;
/** SOCKET_BUFFER of src/http/connect/open-socket.ts: bodies that are sent over these sockets depend on it. */
const SOCKET_BUFFER = 64 * 1024;

exports.connectEarly = async function connectEarly(argv, env) {
  if (PROXIES.some((name) => env[name])) return;
  const hosts = hostsIn(argv);
  if (hosts.length === 0 || mayBeElsewhere(argv, env)) return;
  if (!hosts.every(({ host }) => isIPv4(host))) compilePattern();
  const sockets = hosts.map(({ host, port }) => {
    const socket = connect({
      host,
      port,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 2_000,
      highWaterMark: SOCKET_BUFFER,
    });
    return { key: `${host}:${port}`, host, socket: socket.on('error', () => undefined).unref() };
  });
  globalThis[EARLY] = new Map(sockets.map(({ key, socket }) => [key, [socket]]));
  // Even to an address, a connection begins at the next tick.
  await new Promise((resolve) => process.nextTick(resolve));
  const named = sockets.filter(({ host }) => isIP(host) === 0);
  if (named.length === 0) return;
  const found = named.map(
    ({ socket }) => new Promise((resolve) => socket.once('lookup', resolve).once('close', resolve)),
  );
  await Promise.race([Promise.all(found), new Promise((resolve) => setTimeout(resolve, LOOKUP_MS))]);
};

/**
 * Before Node.js connects to a name, it compares it with a long pattern of IPv6 addresses. V8 compiles that for its interpreter (4 ms), and then to machine
 * code (1 ms); for a text of 1000 characters or more, to machine code at once.
 */
function compilePattern() {
  isIPv6('-'.repeat(1000));
}

/**
 * Whether this machine may be set up to read images from elsewhere than their name says, or not at all: src/registries knows. Files without such a
 * table, as distributions ship them, do not count.
 */
function mayBeElsewhere(argv, env) {
  if (argv.some((one) => one.startsWith('--hosts-dir')) || env.IMGCOPY_HOSTS_DIR) return true;
  if (env.CONTAINERS_REGISTRIES_CONF || env.CONTAINERS_REGISTRIES_CONF_OVERRIDE) return true;
  const config = env.XDG_CONFIG_HOME || (env.HOME && path.join(env.HOME, '.config'));
  const folders = [...(config ? [path.join(config, 'containers')] : []), '/etc/containers', '/usr/share/containers'];
  return folders.some((folder) =>
    namesIn(folder).some((name) => {
      if (!name.startsWith('registries.')) return false;
      const place = path.join(folder, name);
      const files = name.endsWith('.d') ? namesIn(place).map((file) => path.join(place, file)) : [place];
      return files.some(hasTables);
    }),
  );
}

function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function hasTables(file) {
  try {
    return /^\s*(?:\[\[\s*["']?registry\b|registry\s*=\s*\[)/im.test(readFileSync(file, 'latin1'));
  } catch {
    // A folder, or what this user may not read.
    return false;
  }
}

/** The registries that operands name; each once. */
function hostsIn(argv) {
  const found = new Map();
  argv.forEach((argument, index) => {
    const before = argv[index - 1] ?? '';
    if (before.startsWith('-') && !FLAGS.has(before)) return;
    const [, scheme, name, port] = REFERENCE.exec(argument) ?? [];
    if (name === undefined) return;
    // Without a scheme, a first part with neither dot nor port is a user of Docker Hub; some are names of transports.
    if (scheme === undefined && port === undefined && !name.includes('.')) return;
    if (scheme === undefined && /^(?:dir|oci)$/.test(name)) return;
    if (port > 65_535) return;
    if (port === undefined && argv.some((one) => one.includes('plain-http'))) return;
    const host = name === 'docker.io' ? 'registry-1.docker.io' : name;
    found.set(`${host}:${port}`, { host, port: Number(port ?? 443) });
  });
  return [...found.values()];
}
