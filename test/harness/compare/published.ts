/** Compares published objects with those that an example creates instead, field by field. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { projectFolder } from "../../../tools/parts/cache";
import { textOf, type Values } from "../doubles/providerValues";

/** The values of a field that differs; undefined if one side lacks it. */
export type Difference = readonly [published: unknown, ours: unknown];

/**
 * The objects of `test/vectors/published/NAME.yaml`. `placeholders` replaces text that the author left open or that the
 * example renames.
 */
export function publishedObjects(name: string, placeholders: Readonly<Record<string, string>>): Values[] {
  const text = readFileSync(join(projectFolder(), "test", "vectors", "published", `${name}.yaml`), "utf8");
  const filled = Object.entries(placeholders).reduce(
    (result, [placeholder, value]) => result.replaceAll(placeholder, value),
    text,
  );
  const yaml = createRequire(__filename)("js-yaml") as { loadAll(text: string): unknown };
  return yaml.loadAll(filled) as Values[];
}

/**
 * Differences by `Kind name field.of.it` with the published name (`unnamed` for a fragment without one). `ours` returns
 * the object that replaces a published one.
 */
export function differencesOf(
  published: readonly Values[],
  ours: (kind: string, name: string) => Values,
): Record<string, Difference> {
  const result: Record<string, Difference> = {};
  for (const object of published) {
    const kind = textOf(object["kind"]);
    const name = textOf((object["metadata"] as Values | undefined)?.["name"]) || "unnamed";
    const [there, here] = [leavesOf(object), leavesOf(ours(kind, name))];
    for (const path of new Set([...there.keys(), ...here.keys()])) {
      if (there.get(path) !== here.get(path)) result[`${kind} ${name} ${path}`] = [there.get(path), here.get(path)];
    }
  }
  return result;
}

/** Named list entries are matched by name, so their order makes no difference. */
function leavesOf(value: unknown, path = ""): Map<string, unknown> {
  if (typeof value !== "object" || value === null) return new Map([[path, value]]);
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [
      ...leavesOf(inner, [path, Array.isArray(value) ? (nameOf(inner) ?? key) : key].filter(Boolean).join(".")),
    ]),
  );
}

function nameOf(entry: unknown): string | undefined {
  const { name, secretKey } = (entry ?? {}) as Values;
  const result = secretKey ?? name;
  return typeof result === "string" ? result : undefined;
}
