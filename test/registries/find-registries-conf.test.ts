import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { NO_CONFIGURATION, type RegistryConfiguration } from '../../src/registries/configured-endpoint.ts';
import { readRegistriesConf, type RegistriesConfEnvironment } from '../../src/registries/find-registries-conf.ts';
import { readFrom } from './conf-texts.ts';

interface Machine {
  readonly warnings: string[];
  readonly path: (name: string) => string;
  readonly write: (name: string, text: string) => Promise<void>;
  readonly read: (options?: Partial<RegistriesConfEnvironment>) => Promise<RegistryConfiguration>;
}

/** A machine with a home, `etc` and `usr` in a folder of its own. */
async function openMachine(t: TestContext): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), 'imgcopy-conf-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const warnings: string[] = [];
  const path = (name: string): string => join(folder, name);
  return {
    warnings,
    path,
    write: async (name, text) => {
      await mkdir(dirname(path(name)), { recursive: true });
      await writeFile(path(name), text);
    },
    read: (options = {}) =>
      readRegistriesConf({
        env: {},
        homeDir: path('home'),
        system: [path('etc'), path('usr')],
        uid: 1000,
        onWarning: (warning) => void warnings.push(warning),
        ...options,
      }),
  };
}

/** Says that images of `of` are at `at`. */
function moved(of: string, at: string): string {
  return `[[registry]]\nprefix = "${of}"\nlocation = "${at}"\n`;
}

const USERS = 'home/.config/containers';

test('where there are no files, names are addresses, and nothing is parsed', async (t) => {
  const machine = await openMachine(t);
  assert.equal(await machine.read(), NO_CONFIGURATION);
  await machine.write('etc/registries.conf.d/readme.txt', 'not TOML');
  assert.equal(await machine.read(), NO_CONFIGURATION);
});

test('files as distributions ship them are not parsed: comments, search registries, aliases for short names', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf', '# [[registry]]\nunqualified-search-registries = ["registry.test"]\n');
  const aliases = '[aliases]\n  "registry" = "docker.io/library/registry"\n  "ubi8" = "registry.test/ubi8"\n';
  await machine.write('etc/registries.conf.d/000-shortnames.conf', aliases);
  assert.equal(await machine.read(), NO_CONFIGURATION);
});

const forms: Readonly<Record<string, string>> = {
  tables: '\n [[ registry ]]\nlocation = "a.test"\nblocked = true\n',
  'a quoted table': '[["registry"]]\nlocation = "a.test"\nblocked = true\n',
  'a list of inline tables': 'registry = [{ location = "a.test", blocked = true }]\n',
  'capital letters': '[[Registry]]\nlocation = "a.test"\nblocked = true\n',
};

for (const [form, text] of Object.entries(forms)) {
  test(`a file with ${form} counts`, async (t) => {
    const machine = await openMachine(t);
    await machine.write('etc/registries.conf', text);
    const rules = await machine.read();
    assert.throws(() => readFrom(rules, 'a.test/app'), { code: 'ERR_REGISTRY_BLOCKED' });
  });
}

for (const text of [
  '[registries.search]\nregistries = []',
  'registries.block.registries = ["a"]',
  'registries = { search = { registries = [] } }',
]) {
  test(`version 1 is refused: ${text}`, async (t) => {
    const machine = await openMachine(t);
    await machine.write('etc/registries.conf', text);
    await assert.rejects(machine.read(), { code: 'ERR_REGISTRIES_CONF', message: /:1: this is version 1/ });
  });
}

test("reads the first main file: the user's, the administrator's, that of the distribution", async (t) => {
  const machine = await openMachine(t);
  const found: (string | undefined)[] = [];
  for (const place of ['usr', 'etc', USERS]) {
    await machine.write(`${place}/registries.conf`, moved('a.test', `${place.split('/')[0]}.test`));
    found.push(readFrom(await machine.read(), 'a.test/app')[0]);
  }
  assert.deepEqual(found, ['usr.test/app', 'etc.test/app', 'home.test/app']);
  await machine.write('xdg/containers/registries.conf', moved('a.test', 'xdg.test'));
  const { env } = { env: { XDG_CONFIG_HOME: machine.path('xdg') } };
  assert.deepEqual(readFrom(await machine.read({ env }), 'a.test/app'), ['xdg.test/app']);
  assert.deepEqual(readFrom(await machine.read({ homeDir: undefined }), 'a.test/app'), ['etc.test/app']);
});

test('drop-ins are read after the main file, by their names; of one name, the one nearer to the user', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf', moved('a.test', 'main.test'));
  await machine.write(`${USERS}/registries.conf.d/10-first.conf`, moved('a.test', 'first.test'));
  await machine.write('etc/registries.conf.d/20-second.conf', moved('a.test', 'second.test'));
  await machine.write('usr/registries.conf.d/20-second.conf', moved('a.test', 'usr.test'));
  await machine.write('etc/registries.conf.d/30-other.conf.off', moved('a.test', 'off.test'));
  assert.deepEqual(readFrom(await machine.read(), 'a.test/app'), ['second.test/app']);
  await machine.write(`${USERS}/registries.conf.d/20-second.conf`, '');
  assert.deepEqual(readFrom(await machine.read(), 'a.test/app'), ['first.test/app']);
});

test('some drop-ins are for root, some for others, some for one of these', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.rootful.conf.d/a.conf', moved('a.test', 'rootful.test'));
  await machine.write('etc/registries.rootless.conf.d/a.conf', moved('a.test', 'rootless.test'));
  await machine.write('etc/registries.rootless.conf.d/1001/a.conf', moved('a.test', 'own.test'));
  const places = [0, 1000, 1001].map(async (uid) => readFrom(await machine.read({ uid }), 'a.test/app')[0]);
  assert.deepEqual(await Promise.all(places), ['rootful.test/app', 'rootless.test/app', 'own.test/app']);
});

test('CONTAINERS_REGISTRIES_CONF is read alone, CONTAINERS_REGISTRIES_CONF_OVERRIDE after all others', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf', moved('a.test', 'main.test') + moved('b.test', 'main.test'));
  await machine.write('etc/registries.conf.d/x.conf', moved('b.test', 'drop-in.test'));
  await machine.write('named', moved('a.test', 'named.test'));
  await machine.write('override', moved('a.test', 'override.test'));
  const [named, override] = [machine.path('named'), machine.path('override')];
  const alone = await machine.read({ env: { CONTAINERS_REGISTRIES_CONF: named } });
  assert.deepEqual(readFrom(alone, 'a.test/app'), ['named.test/app']);
  assert.deepEqual(readFrom(alone, 'b.test/app'), ['b.test/app']);
  const over = await machine.read({ env: { CONTAINERS_REGISTRIES_CONF_OVERRIDE: override } });
  assert.deepEqual(readFrom(over, 'a.test/app'), ['override.test/app']);
  assert.deepEqual(readFrom(over, 'b.test/app'), ['drop-in.test/app']);
  const nothing = await machine.read({ env: { CONTAINERS_REGISTRIES_CONF: '/dev/null' } });
  assert.deepEqual(readFrom(nothing, 'a.test/app'), ['a.test/app']);
});

test('a file that a variable names, and that is not there, is an error', async (t) => {
  const machine = await openMachine(t);
  for (const variable of ['CONTAINERS_REGISTRIES_CONF', 'CONTAINERS_REGISTRIES_CONF_OVERRIDE']) {
    await assert.rejects(machine.read({ env: { [variable]: machine.path('gone') } }), {
      code: 'ERR_REGISTRIES_CONF',
      kind: 'usage',
      message: `${variable} names ${machine.path('gone')}, which cannot be read (ENOENT)`,
    });
  }
});

test('a broken drop-in is an error with its path and line', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf.d/x.conf', '\n[[registry]]\nlocation = "http://a.test"\n');
  await assert.rejects(machine.read(), {
    code: 'ERR_REGISTRIES_CONF',
    message: new RegExp(`^${machine.path('etc/registries.conf.d/x.conf')}:3: `),
  });
});

test('a file or folder that the user may not read is a warning', async (t) => {
  if (process.getuid?.() === 0) {
    t.skip('root may read everything');
    return;
  }
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf', moved('a.test', 'main.test'));
  await machine.write('etc/registries.conf.d/x.conf', moved('a.test', 'drop-in.test'));
  await chmod(machine.path('etc/registries.conf'), 0);
  assert.deepEqual(readFrom(await machine.read(), 'a.test/app'), ['drop-in.test/app']);
  assert.deepEqual(machine.warnings, [`${machine.path('etc/registries.conf')} is ignored: it cannot be read (EACCES)`]);
});

test('a file behind a loop of links is a warning; one that is gone is none', async (t) => {
  const machine = await openMachine(t);
  await machine.write('etc/registries.conf', moved('a.test', 'main.test'));
  await machine.write('etc/registries.conf.d/x.conf', '');
  await symlink('loop.conf', machine.path('etc/registries.conf.d/loop.conf'));
  await symlink('gone', machine.path('etc/registries.conf.d/dangling.conf'));
  assert.deepEqual(readFrom(await machine.read(), 'a.test/app'), ['main.test/app']);
  const loop = machine.path('etc/registries.conf.d/loop.conf');
  assert.deepEqual(machine.warnings, [`${loop} is ignored: it cannot be read (ELOOP)`]);
});
