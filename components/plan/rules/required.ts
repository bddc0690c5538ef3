/**
 * Arguments that must be given. TypeScript asks for them; a program in JavaScript, Python or YAML may leave them out.
 * Pure.
 */
import { type Finding, finding } from "../findings/findings";

const REPOSITORIES = ["repositories", "repositories.*.at"];
const COMMON = ["namespace", ...REPOSITORIES, "schedules.*.cron", "drills.*.cron"];
const VOLUMES = ["storageGiB", "walStorage.sizeGiB", "tablespaces.*.sizeGiB"];
const SOURCE = ["stanza", ...REPOSITORIES];

/** Paths by component; `*` is every key. A path counts only if its parent is given. */
export const REQUIRED = {
  CnpgCluster: [...COMMON, ...VOLUMES, ...SOURCE.map((path) => `bootstrap.recovery.${path}`)],
  CnpgBackup: [...COMMON, "clusterName"],
  // A copy may archive nowhere.
  CnpgRestore: [
    ...COMMON.filter((path) => path !== "repositories"),
    ...VOLUMES,
    "source",
    ...SOURCE.map((path) => `source.${path}`),
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** One finding for each argument that is missing, or is empty once its value is known. */
export function checkRequired(component: keyof typeof REQUIRED, args: object): Finding[] {
  return REQUIRED[component].flatMap((path) =>
    missingAt(args, path.split("."), "").map((missing) =>
      finding("PB118", missing, "it is required, and not given", remedyOf(component, missing)),
    ),
  );
}

function remedyOf(component: keyof typeof REQUIRED, path: string): string {
  const isCopy = component === "CnpgRestore" && path === "storageGiB";
  return isCopy ? "set it, or take it from the source cluster: ...orders.like" : `set ${path}`;
}

function missingAt(value: unknown, [step = "", ...rest]: readonly string[], path: string): string[] {
  // Another resource's output is given, whatever it contains.
  if (typeof value !== "object" || value === null || "apply" in value || "then" in value) return [];
  return keysOf(value, step).flatMap((key) => {
    const part: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
    const where = path === "" ? key : `${path}.${key}`;
    if (rest.length > 0) return missingAt(part, rest, where);
    return part === undefined || part === null ? [where] : [];
  });
}

function keysOf(value: object, step: string): readonly string[] {
  return step === "*" ? Object.keys(value) : [step];
}
