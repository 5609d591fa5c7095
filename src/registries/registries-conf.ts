import { ImgcopyError } from '../errors/imgcopy-error.ts';
import { quote } from '../errors/printable.ts';
import { fieldOf, isTable, lineOf, parseToml, type Table, type TomlSource } from './toml-text.ts';

/** For which images a mirror is asked: those named by digest, those named by tag, or both. */
export type PullFromMirror = 'all' | 'digest-only' | 'tag-only';

export interface Mirror {
  /** What takes the place of the prefix: `host[:port][/path]`. */
  readonly location: string;
  readonly insecure: boolean;
  readonly pullFrom: PullFromMirror;
}

/** One `[[registry]]` table. */
export interface RegistryRule {
  /** What the name of an image begins with: `host[:port][/path]`, or `*.domain`. */
  readonly prefix: string;
  /** What takes its place; empty where the name stays as it is. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
  /** `FILE:LINE`, for messages. */
  readonly origin: string;
}

/** What one file says, as far as it matters for copies. */
export interface RegistriesConf {
  /** Each prefix once. */
  readonly rules: readonly RegistryRule[];
  readonly credentialHelpers: readonly string[] | undefined;
}

/** A registries.conf that cannot be used. */
export class RegistriesConfError extends ImgcopyError {
  constructor(origin: string, problem: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    const { hint = 'correct the file', cause } = options;
    super(`${origin}: ${problem}`, {
      code: 'ERR_REGISTRIES_CONF',
      kind: 'usage',
      hint: `${hint}, or run without it: --no-registries-conf`,
      cause,
    });
  }
}

/**
 * Reads a registries.conf of version 2. What only matters for short names (search registries, aliases) is ignored, and so are unknown fields.
 *
 * @throws RegistriesConfError for a file of version 1, and for what podman and skopeo refuse as well.
 * @see https://github.com/containers/container-libs/blob/main/image/docs/containers-registries.conf.5.md
 */
export function parseRegistriesConf(source: TomlSource): RegistriesConf {
  const content = parseToml(source, ({ line, problem }) => new RegistriesConfError(`${source.file}:${line}`, problem));
  refuseVersion1(content, source);
  const tables = fieldOf(content, 'registry') ?? [];
  if (!Array.isArray(tables) || !tables.every(isTable)) {
    throw faultAt(source, lineOf(source.text, /registry/i), 'registry is not a list of tables', {
      hint: 'write [[registry]] with two brackets',
    });
  }
  const rules = tables.map((table, index) => readRule(new TableReader(source, table, index)));
  refuseConflicts(rules);
  const byPrefix = new Map(rules.toReversed().map((rule) => [rule.prefix, rule]));
  return { rules: [...byPrefix.values()], credentialHelpers: credentialHelpers(content, source) };
}

function refuseVersion1(content: Table, source: TomlSource): void {
  const lists = fieldOf(content, 'registries');
  if (!isTable(lists)) return;
  const found = ['search', 'insecure', 'block'].find((name) => {
    const list = fieldOf(lists, name);
    return isTable(list) && fieldOf(list, 'registries') !== undefined;
  });
  if (found === undefined) return;
  throw faultAt(
    source,
    lineOf(source.text, /^\s*\[?\s*registries/i),
    'this is version 1 of registries.conf, which is not supported',
    { hint: 'write a [[registry]] table for each registry, with location and insecure = true or blocked = true' },
  );
}

/** One table and the part of the text that it is written in. */
class TableReader {
  readonly #source: TomlSource;
  readonly #from: number;
  readonly #before: number;
  readonly table: Table;

  constructor(source: TomlSource, table: Table, index: number) {
    this.#source = source;
    this.table = table;
    const headers = source.text
      .split('\n')
      .flatMap((line, at) => (/^\s*\[\[\s*["']?registry["']?\s*\]\]/i.test(line) ? [at + 1] : []));
    this.#from = headers[index] ?? lineOf(source.text, /registry/i);
    this.#before = headers[index + 1] ?? Infinity;
  }

  get origin(): string {
    return `${this.#source.file}:${this.#from}`;
  }

  /** @param at  a text of the line that is wrong. */
  fault(problem: string, at: string | RegExp = ''): RegistriesConfError {
    return faultAt(this.#source, lineOf(this.#source.text, at, { from: this.#from, before: this.#before }), problem);
  }

  text(name: string, table: Table = this.table): string {
    const value = fieldOf(table, name) ?? '';
    if (typeof value === 'string') return value;
    throw this.fault(`${name} is not a string`, name);
  }

  flag(name: string, table: Table = this.table): boolean {
    const value = fieldOf(table, name) ?? false;
    if (typeof value === 'boolean') return value;
    throw this.fault(`${name} is neither true nor false`, name);
  }

  /** The place of a registry, without its final slashes. */
  place(name: string, table: Table = this.table): string {
    const written = this.text(name, table);
    const place = written.replace(/\/+$/, '');
    if (/^https?:\/\//.test(place)) {
      throw this.fault(`${name} ${quote(written)} is a URL: write it without ${place.split('//')[0]}//`, written);
    }
    return place;
  }
}

function readRule(reader: TableReader): RegistryRule {
  const location = reader.place('location');
  const prefix = reader.place('prefix') || location;
  if (prefix === '') throw reader.fault('the table has neither prefix nor location');
  if (prefix.startsWith('*.')) {
    if (/[/@:]/.test(prefix)) throw reader.fault(`prefix ${quote(prefix)} is not of the form *.example.com`, prefix);
  } else if (location === '') {
    throw reader.fault(
      `prefix ${quote(prefix)} has no location, which only one of the form *.example.com may leave out`,
    );
  }
  if (reader.text('pull-from-mirror') !== '') {
    throw reader.fault('pull-from-mirror belongs in a [[registry.mirror]] table', 'pull-from-mirror');
  }
  const isByDigest = reader.flag('mirror-by-digest-only');
  const mirrors = fieldOf(reader.table, 'mirror') ?? [];
  if (!Array.isArray(mirrors) || !mirrors.every(isTable)) {
    throw reader.fault('mirror is not a list of tables: write [[registry.mirror]] with two brackets', 'mirror');
  }
  return {
    prefix,
    location,
    insecure: reader.flag('insecure'),
    blocked: reader.flag('blocked'),
    mirrors: mirrors.map((table) => readMirror(reader, table, isByDigest)),
    origin: reader.origin,
  };
}

function readMirror(reader: TableReader, table: Table, isByDigest: boolean): Mirror {
  const location = reader.place('location', table);
  if (location === '') throw reader.fault('a mirror has no location', /mirror/i);
  const insecure = reader.flag('insecure', table);
  const pullFrom = reader.text('pull-from-mirror', table);
  if (pullFrom === '') return { location, insecure, pullFrom: isByDigest ? 'digest-only' : 'all' };
  if (isByDigest) {
    throw reader.fault(
      `mirror ${quote(location)} has pull-from-mirror, and its registry mirror-by-digest-only: use one of them`,
      'pull-from-mirror',
    );
  }
  if (pullFrom === 'all' || pullFrom === 'digest-only' || pullFrom === 'tag-only')
    return { location, insecure, pullFrom };
  throw reader.fault(
    `pull-from-mirror of mirror ${quote(location)} is ${quote(pullFrom)}: expected all, digest-only or tag-only`,
    pullFrom,
  );
}

/** Tables of one file that have one location must not differ in what is allowed there. */
function refuseConflicts(rules: readonly RegistryRule[]): void {
  const first = new Map<string, RegistryRule>();
  for (const rule of rules) {
    const place = rule.location || rule.prefix;
    const other = first.get(place) ?? rule;
    first.set(place, other);
    const name = (['insecure', 'blocked'] as const).find((flag) => rule[flag] !== other[flag]);
    if (name === undefined) continue;
    throw new RegistriesConfError(
      rule.origin,
      `two tables for ${quote(place)} disagree about ${name}; the other one is at ${other.origin}`,
    );
  }
}

function credentialHelpers(content: Table, source: TomlSource): readonly string[] | undefined {
  const helpers = fieldOf(content, 'credential-helpers');
  if (helpers === undefined) return undefined;
  if (Array.isArray(helpers) && helpers.every((helper) => typeof helper === 'string')) return helpers;
  throw faultAt(source, lineOf(source.text, 'credential-helpers'), 'credential-helpers is not a list of strings');
}

function faultAt(
  { file }: TomlSource,
  line: number,
  problem: string,
  options: { readonly hint?: string } = {},
): RegistriesConfError {
  return new RegistriesConfError(`${file}:${line}`, problem, options);
}
