/** A pattern with `*` for any characters and `?` for one, of the whole text. Default: in any case. */
export function globPattern(
  glob: string,
  { isCaseSensitive = false }: { readonly isCaseSensitive?: boolean } = {},
): RegExp {
  const parts = glob.split(/([*?])/).map((part) => {
    if (part === '*') return '.*';
    return part === '?' ? '.' : part.replaceAll(/[\\^$.|+()[\]{}]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('')}$`, isCaseSensitive ? 's' : 'is');
}
