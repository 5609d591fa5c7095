/**
 * The scopes without repetitions, those that allow writing first: some token servers honour the first scope alone.
 * @see https://distribution.github.io/distribution/spec/auth/scope/
 */
export function orderScopes(scopes: readonly string[]): readonly string[] {
  const distinct = [...new Set(scopes)];
  return [...distinct.filter(allowsWriting), ...distinct.filter((scope) => !allowsWriting(scope))];
}

/** `repository:ns/app` of `repository:ns/app:pull,push`. */
export function repositoryOfScope(scope: string): string {
  return scope.slice(0, Math.max(0, scope.lastIndexOf(':')));
}

/** The scopes of a challenge, which separates them by spaces. */
export function splitScopes(text: string | undefined): readonly string[] {
  return text?.split(/\s+/).filter((scope) => scope !== '') ?? [];
}

/** Whether a list of scopes grants all that another one asks for. */
export function includesScopes(granted: readonly string[], asked: readonly string[]): boolean {
  return asked.every((scope) => {
    const actions = actionsOf(scope);
    return granted.some(
      (other) =>
        repositoryOfScope(other) === repositoryOfScope(scope) &&
        actions.every((action) => actionsOf(other).includes(action)),
    );
  });
}

/** Two lists of scopes as one, without those that others in it include. The first list comes first. */
export function mergeScopes(first: readonly string[], second: readonly string[]): readonly string[] {
  const ahead = first.filter((scope) => !includesScopes(second, [scope]));
  return [...ahead, ...second.filter((scope) => !includesScopes(ahead, [scope]))];
}

function allowsWriting(scope: string): boolean {
  return actionsOf(scope).some((action) => action !== 'pull');
}

function actionsOf(scope: string): readonly string[] {
  return scope.slice(scope.lastIndexOf(':') + 1).split(',');
}
