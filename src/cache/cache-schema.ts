interface Table {
  readonly name: string;
  /** The columns that identify a row, then the others, each with its type. */
  readonly key: readonly string[];
  readonly values: readonly string[];
}

const TABLES: readonly Table[] = [
  { name: 'known_locations', key: ['registry TEXT', 'digest TEXT', 'repository TEXT'], values: ['seen_at INTEGER'] },
  { name: 'uncompressed_pairs', key: ['digest TEXT'], values: ['uncompressed TEXT'] },
  { name: 'compressors', key: ['digest TEXT'], values: ['algorithm TEXT'] },
  { name: 'chunked_blobs', key: ['digest TEXT'], values: ['size INTEGER', 'format TEXT'] },
  { name: 'host_abilities', key: ['host TEXT', 'ability TEXT'], values: ['value INTEGER', 'seen_at INTEGER'] },
];

/** To be raised with any change of the tables, together with the file's name, for older processes may have the file open. */
export const CACHE_VERSION = 1;

/** Makes the tables of an empty cache. Times are milliseconds since 1970. */
export const CACHE_SCHEMA: string = [
  ...TABLES.map((table) => `CREATE TABLE main.${table.name} ${definition(table)}`),
  'CREATE INDEX main.locations_by_repository ON known_locations (registry, repository, seen_at)',
  'CREATE INDEX main.pairs_by_uncompressed ON uncompressed_pairs (uncompressed)',
  'CREATE TABLE main.maintenance (pruned_at INTEGER NOT NULL) STRICT',
  'INSERT INTO main.maintenance VALUES (0)',
].join(';\n');

/**
 * Makes, for every table, a temporary `fresh_<name>` for what is not stored yet, and a view `all_<name>` in which a fresh row hides
 * the stored one of the same key.
 */
export const OVERLAY_SCHEMA: string = TABLES.flatMap((table) => [
  `CREATE TABLE temp.fresh_${table.name} ${definition(table)}`,
  `CREATE VIEW temp.all_${table.name} AS
     SELECT * FROM temp.fresh_${table.name}
     UNION ALL
     SELECT * FROM main.${table.name} AS stored
       WHERE NOT EXISTS (SELECT 1 FROM temp.fresh_${table.name} AS fresh WHERE ${sameKey(table)})`,
]).join(';\n');

/** The tables that the overlay covers. */
export const CACHE_TABLES: readonly string[] = TABLES.map(({ name }) => name);

function definition({ key, values }: Table): string {
  const columns = [...key, ...values].map((column) => `${column} NOT NULL`);
  return `(${columns.join(', ')}, PRIMARY KEY (${key.map(columnName).join(', ')})) STRICT`;
}

function sameKey({ key }: Table): string {
  return key
    .map(columnName)
    .map((column) => `fresh.${column} = stored.${column}`)
    .join(' AND ');
}

function columnName(column: string): string {
  return column.slice(0, column.indexOf(' '));
}
