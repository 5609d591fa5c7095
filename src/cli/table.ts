/**
 * Lines of columns.
 * @param heads  of the columns; undefined: none.
 * @param options.right  columns that end at the same place.
 */
export function drawTable(
  heads: readonly string[] | undefined,
  rows: readonly (readonly string[])[],
  { right = [] }: { readonly right?: readonly number[] } = {},
): readonly string[] {
  const all = heads === undefined ? rows : [heads, ...rows];
  const widths = (all[0] ?? []).map((_cell, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const cell = (text: string, column: number): string =>
    right.includes(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return all.map((row) => row.map(cell).join('  ').trimEnd());
}
