/**
 * Variables of Flux (`postBuild.substitute` of a Kustomization). Flux replaces every `${NAME}` in an object's text,
 * unknown names by an empty string, and turns `$${` into `${`. So a declared variable is kept and counts as unknown in
 * checks; any other `${` is escaped. Pure.
 */
import { type Finding, finding } from "../../plan/findings/findings";
import { unknownMarker } from "../../plan/model/unknown";
import type { Manifest } from "./objects";

export interface FluxSettings {
  /** Names that the Kustomization sets. */
  readonly variables?: readonly string[];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const ANY = /\$\{[A-Za-z_][A-Za-z0-9_]*/;

export function checkFlux({ variables = [] }: FluxSettings): Finding[] {
  return variables.flatMap((name, index) => {
    if (NAME.test(name)) return [];
    const hint = 'write the name alone, such as "CLOUDFLARE_ACCOUNT_ID"';
    return [finding("PB014", `flux.variables[${index}]`, `"${name}" is not a name of a variable`, hint)];
  });
}

/** A copy whose texts with declared variables are unknown to rules. */
export function withoutVariables<T>(value: T, { variables = [] }: FluxSettings): T {
  if (variables.length === 0) return value;
  const expression = new RegExp(`\\$\\{(?:${variables.join("|")})(?![A-Za-z0-9_])[^}]*\\}`, "g");
  return mapTexts(value, (text) => text.replaceAll(expression, () => unknownMarker(0))) as T;
}

/** The objects as Flux must read them. */
export function escapedForFlux(manifests: readonly Manifest[], { variables = [] }: FluxSettings): Manifest[] {
  const kept = variables.length === 0 ? "" : `(?!(?:${variables.join("|")})(?![A-Za-z0-9_]))`;
  const expression = new RegExp(`\\$\\{${kept}`, "g");
  return manifests.map(
    (manifest) => mapTexts(manifest, (text) => text.replaceAll(expression, () => "$${")) as Manifest,
  );
}

/** Objects of a file that does not mention Flux, and that Flux would change. */
export function findVariables(manifests: readonly Manifest[]): Finding[] {
  return manifests.flatMap((manifest) => {
    const detected = new Set<string>();
    mapTexts(manifest, (text) => {
      const [name] = ANY.exec(text) ?? [];
      if (name !== undefined) detected.add(`${name}}`);
      return text;
    });
    if (detected.size === 0) return [];
    const fact = `it contains ${[...detected].join(", ")}: Flux with variables would replace it, by an empty string if it is not set`;
    const hint =
      "for Flux set flux: { variables: [] } with the variables that it should substitute; other tools leave the text alone";
    return [finding("PB181", `${manifest.kind}/${manifest.metadata.name}`, fact, hint)];
  });
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]));
}
