/** Which known names a wrong one may mean. Pure. */

/**
 * At most two of the candidates: those that need the fewest insertions, removals and replacements, at most a quarter of
 * the name's length. From four letters on, a candidate that begins with the name needs none.
 */
export function nearNames(name: string, candidates: readonly string[]): readonly string[] {
  const limit = Math.max(1, Math.floor(name.length / 4));
  const near = candidates
    .map((candidate) => {
      const begins = name.length >= 4 && candidate.startsWith(name);
      return { candidate, distance: begins ? 0 : editDistance(name, candidate, limit) };
    })
    .filter(({ distance }) => distance <= limit)
    .sort((left, right) => left.distance - right.distance);
  return near
    .filter(({ distance }) => distance === near[0]?.distance)
    .slice(0, 2)
    .map(({ candidate }) => candidate);
}

/** Insertions, removals and replacements; `limit + 1` when there are more than `limit`. */
function editDistance(left: string, right: string, limit: number): number {
  if (Math.abs(left.length - right.length) > limit) return limit + 1;
  let prior = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let line = 1; line <= left.length; line++) {
    const current = [line];
    for (let column = 1; column <= right.length; column++) {
      const replaced = (prior[column - 1] ?? 0) + (left[line - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (prior[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    prior = current;
  }
  return prior[right.length] ?? limit + 1;
}
