/** Amounts of resources as Kubernetes writes them (API reference, "Quantity"). Pure. */

const DECIMAL = { n: 1e-9, u: 1e-6, m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };
const BINARY = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 };
const FACTORS: Readonly<Record<string, number>> = { ...DECIMAL, ...BINARY };

/** Cores or bytes; null for another text. */
export function amountOf(quantity: string): number | null {
  const [, digits, exponent = "", unit = ""] =
    /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?$/.exec(quantity) ?? [];
  return digits === undefined ? null : Number(`${digits}${exponent}`) * (FACTORS[unit] ?? Number.NaN);
}
