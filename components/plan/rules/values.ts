/** Checks of values that several rules share. Pure. */

/** A whole number from min to max, inclusive. */
export function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** True when `path` is `parent` or lies below it. */
export function isBelow(path: string, parent: string): boolean {
  return path === parent || parent === "/" || path.startsWith(`${parent}/`);
}
