/** What overrides and transforms make of a Cluster, read from the objects themselves. Pure. */
import { type Finding, finding } from "../findings/findings";
import { archiversOf, BARMAN_OBJECT_STORE } from "../cluster/archivers";
import { contains, valueAt } from "../model/anyValue";

const OVERRIDES = "overrides.cluster.spec";
const ARGUMENTS_DECIDE = "use the arguments, whose effect the preview judges";

/**
 * A Cluster with its overrides next to the one that the arguments alone make.
 * @param wanted the `spec` without overrides
 */
export function checkOverriddenCluster(wanted: unknown, final: unknown): Finding[] {
  return checkArchiver(wanted, final, OVERRIDES);
}

/** Fields of `spec` that rules, topology and other objects follow from. */
const JUDGED: readonly (readonly string[])[] = [
  ["instances"],
  ["imageName"],
  ["imageCatalogRef"],
  ["storage", "size"],
  ["backup", "target"],
  ["bootstrap"],
  ["postgresql", "parameters", "archive_timeout"],
  ["postgresql", "synchronous"],
];

/**
 * The Cluster that the engine got, next to the one that was judged: a transform of the program may have changed it. It
 * may have more fields, by the API server's defaults.
 * @param judged the `spec` that was rendered
 */
export function checkTransformedCluster(judged: unknown, final: unknown): Finding[] {
  const archiver = checkArchiver(judged, final, "spec");
  const changed = JUDGED.filter((path) => !contains(valueAt(final, ...path), valueAt(judged, ...path)));
  const gone =
    valueAt(judged, "replica") === undefined && valueAt(final, "replica", "enabled") === true ? [["replica"]] : [];
  return [
    ...archiver,
    // Without the values, which may be secret.
    ...[...changed, ...gone].map((path) =>
      finding("PB202", `spec.${path.join(".")}`, "a transform changes it", ARGUMENTS_DECIDE),
    ),
  ];
}

function checkArchiver(wanted: unknown, final: unknown, path: string): Finding[] {
  const [own, others] = [archiversOf(wanted), archiversOf(final)];
  if (own === null || others === null) return [];
  const gone = own.filter((name) => !others.includes(name));
  const strange = others.filter((name) => !own.includes(name));
  const hint = "leave the field out";
  return [
    ...gone.map((name) => finding("PB201", `${path}.plugins`, `it stops ${name} from archiving any WAL`, hint)),
    ...strange.map((name) =>
      finding(
        "PB196",
        `${path}.${name === BARMAN_OBJECT_STORE ? "backup" : "plugins"}`,
        `${name} would archive too`,
        hint,
      ),
    ),
  ];
}
