import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { AuthEnvironment } from '../../src/auth/auth-file-paths.ts';

/** A home directory of its own for a test, with a bin directory that is the whole PATH beside the system's. */
export interface AuthHome {
  readonly path: string;
  readonly environment: AuthEnvironment & { readonly env: Record<string, string> };
  readonly write: (file: string, content: unknown) => Promise<string>;
  readonly read: (file: string) => Promise<unknown>;
  /** Installs `docker-credential-<name>`, a shell script. */
  readonly installHelper: (name: string, script: string) => Promise<void>;
  /** Installs a helper that keeps one secret a server in files, and what it was called with in a log. */
  readonly installStore: (name: string) => Promise<void>;
}

const STORE_SCRIPT = `
read -r input
server=$(echo "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/')
file="$HOME/store-$(echo "$server" | tr '/:' '__')"
echo "$1 $server" >> "$HOME/helper.log"
case "$1" in
  store) echo "$input" > "$file" ;;
  get) [ -f "$file" ] && cat "$file" || { echo 'credentials not found in native keychain'; exit 1; } ;;
  erase) rm "$file" ;;
esac
`;

export async function makeAuthHome(t: TestContext): Promise<AuthHome> {
  const path = await mkdtemp(join(tmpdir(), 'imgcopy-auth-'));
  t.after(() => rm(path, { recursive: true }));
  const bin = join(path, 'bin');
  await mkdir(bin);
  const env = { PATH: `${bin}:/usr/bin:/bin`, HOME: path, XDG_RUNTIME_DIR: join(path, 'run') };
  const home: AuthHome = {
    path,
    environment: { env, homeDir: path, platform: 'linux', uid: 1000 },
    write: async (file, content) => {
      const target = join(path, file);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, typeof content === 'string' ? content : JSON.stringify(content));
      return target;
    },
    read: async (file) => JSON.parse(await readFile(join(path, file), 'utf8')) as unknown,
    installHelper: async (name, script) => {
      const target = await home.write(`bin/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
      await chmod(target, 0o755);
    },
    installStore: (name) => home.installHelper(name, STORE_SCRIPT),
  };
  return home;
}

/** An entry of `auths` for a user whose password is `pw`. */
export function entryFor(username: string): { readonly auth: string } {
  return { auth: Buffer.from(`${username}:pw`).toString('base64') };
}
