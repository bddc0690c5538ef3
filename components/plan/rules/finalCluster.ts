/** What `spec` and transforms make of a Cluster, read from the objects themselves. Pure. */
import { abstaining, judged as judgedOf } from "../findings/abstain";
import { type Finding, finding } from "../findings/findings";
import { archiversOf, BARMAN_OBJECT_STORE } from "../cluster/archivers";
import { SPEC_FIELDS } from "../cluster/specFields";
import { type Fields, isFields, valueAt } from "../model/anyValue";
import { areSame, readOr } from "../model/deferred";
import { isUnknown } from "../model/unknown";

export const ARGUMENTS_DECIDE = "use the arguments, whose effect the preview judges";
const LEAVE_OUT = "leave the field out";

/**
 * A Cluster next to the one that the other arguments alone make.
 * @param wanted what they make
 */
export function checkWithSpec(wanted: unknown, final: unknown): Finding[] {
  const elsewhere = (): Finding[] =>
    archiveChanges(wanted, final).map(({ fact, path }) => finding("PB200", `spec.${path}`, fact, LEAVE_OUT));
  return judgedOf(abstaining(() => checkArchiver(wanted, final, "spec"), elsewhere)).findings;
}

/** Any value may stand where nothing was given: it decides nothing, or the operator derives it. */
const ANY = Symbol("any value");
/** What the API server or the operator's webhook sets (CloudNativePG 1.30, cluster_defaults.go). */
type Defaults = typeof ANY | string | number | boolean | { readonly [field: string]: Defaults } | undefined;

const APPLICATION: Defaults = { database: "app", owner: ANY };
const VOLUME: Defaults = { resizeInUseVolumes: ANY };

/** Fields of `spec` that rules, topology, outputs and other objects follow from; of lists the defaults of each item. */
const SECTIONS: readonly (readonly [path: readonly string[], defaults?: Defaults])[] = [
  [["imageCatalogRef"], { apiGroup: ANY }],
  [["enableSuperuserAccess"], false],
  [
    ["bootstrap"],
    {
      initdb: { ...APPLICATION, encoding: "UTF8", localeCollate: "C", localeCType: "C" },
      recovery: APPLICATION,
      pg_basebackup: APPLICATION,
    },
  ],
  [["replica"]],
  [["walStorage"], VOLUME],
  [["tablespaces"], { owner: { name: ANY }, temporary: false, storage: VOLUME }],
  [["postgresql", "parameters", "archive_timeout"], "5min"],
  [["postgresql", "synchronous"], { dataDurability: "required", failoverQuorum: ANY }],
  [["postgresql", "extensions"]],
  [["minSyncReplicas"], 0],
  [["maxSyncReplicas"], 0],
  [["monitoring", "tls", "enabled"], false],
  [["certificates", "serverCASecret"]],
];

const DEFAULTS: Readonly<Record<string, Defaults>> = {
  imageName: ANY,
  "backup.target": "prefer-standby",
};

/** With what `spec` decides in the place of arguments. */
const JUDGED: typeof SECTIONS = [
  ...SPEC_FIELDS.filter(
    (path) => !SECTIONS.some(([section]) => section.every((name, index) => name === path[index])),
  ).map((path) => [path, DEFAULTS[path.join(".")]] as const),
  ...SECTIONS,
];

/**
 * The Cluster that the engine got, next to the one that was judged: a transform of the program may have changed it. It
 * may have more fields, by the API server's defaults.
 * @param judged the `spec` that was rendered
 */
export function checkTransformedCluster(judged: unknown, final: unknown): Finding[] {
  const changed = JUDGED.filter(
    ([path, defaults]) => !isSame(valueAt(judged, ...path), valueAt(final, ...path), defaults),
  );
  const paths = [...changed.map(([path]) => path.join(".")), ...archiveChanges(judged, final).map(({ path }) => path)];
  return [
    ...checkArchiver(judged, final, "spec"),
    // Without the values, which may be secret.
    ...paths.map((path) => finding("PB202", `spec.${path}`, "a transform changes it", ARGUMENTS_DECIDE)),
  ];
}

function isSame(wanted: unknown, final: unknown, defaults: Defaults): boolean {
  if (isUnknown(wanted) || isUnknown(final)) return true;
  if (isBlank(wanted) && defaults === ANY) return true;
  if (isFields(wanted) || isFields(final)) {
    if (![wanted, final].every((value) => isFields(value) || isBlank(value))) return false;
    const names = new Set([wanted, final].flatMap((value) => (isFields(value) ? Object.keys(value) : [])));
    return [...names].every((name) =>
      isSame(valueAt(wanted, name), valueAt(final, name), valueAt(defaults, name) as Defaults),
    );
  }
  if (isBlank(wanted)) return isBlank(final) || final === defaults;
  if (!Array.isArray(wanted) || !Array.isArray(final)) return wanted === final;
  return wanted.length === final.length && wanted.every((item, index) => isSame(item, final[index], defaults));
}

function isBlank(value: unknown): boolean {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

/** Parameters of plugins that decide how a sidecar runs, and not where backups are. */
const OF_SIDECARS = /^((cpu|memory)(Request|Limit)|image|bundle|runtime|runtimeImage|runtimeUrl)$/;
/** Where backups are if it is given; what is usual otherwise. */
const SERVER_NAME = "serverName";

const ARCHIVES_ELSEWHERE = "WAL and backups would go elsewhere than the arguments say";
const READS_ELSEWHERE = "the cluster would begin from other data than the arguments say";

interface Change {
  /** Below `spec`. */
  readonly path: string;
  readonly fact: string;
}

/** Changes of what this package has rendered for its plugin, for the source of a restore, and for that of an import. */
function archiveChanges(wanted: unknown, final: unknown): Change[] {
  const pairsOf = (list: string): (readonly [name: string, own: Fields, other: unknown])[] =>
    itemsAt(wanted, list).map((own) => [
      String(own["name"]),
      own,
      itemsAt(final, list).find(({ name }) => name === own["name"]),
    ]);
  const plugins = pairsOf("plugins").flatMap(([name, own, other]) =>
    // One that is gone archives no more.
    other === undefined ? [] : parameterChanges(own, other, `plugins.${name}`, ARCHIVES_ELSEWHERE),
  );
  const sources = pairsOf("externalClusters").flatMap(([name, own, other]) => {
    const path = `externalClusters.${name}`;
    const [before, after] = [valueAt(own, "plugin"), valueAt(other, "plugin")];
    if (!isFields(before)) {
      const isKept = isOne(
        valueAt(own, "connectionParameters", "host"),
        valueAt(other, "connectionParameters", "host"),
      );
      return isKept ? [] : [{ path: `${path}.connectionParameters.host`, fact: READS_ELSEWHERE }];
    }
    if (!isOne(valueAt(after, "name"), before["name"])) return [{ path: `${path}.plugin`, fact: READS_ELSEWHERE }];
    return parameterChanges(before, after, `${path}.plugin`, READS_ELSEWHERE);
  });
  const named = ["bootstrap.recovery.source", "replica.source"].filter((path) => {
    const source = valueAt(wanted, ...path.split("."));
    const other = valueAt(final, ...path.split("."));
    return source !== undefined && other !== undefined && !isOne(other, source);
  });
  return [...plugins, ...sources, ...named.map((path) => ({ path, fact: READS_ELSEWHERE }))];
}

function parameterChanges(own: unknown, other: unknown, path: string, fact: string): Change[] {
  const parameters = valueAt(own, "parameters");
  const names = [...(isFields(parameters) ? Object.keys(parameters) : []), SERVER_NAME];
  return [...new Set(names)]
    .filter((name) => !OF_SIDECARS.test(name))
    .filter((name) => {
      const [before, after] = [() => valueAt(parameters, name), () => valueAt(other, "parameters", name)];
      return !readOr(() => isUnknown(before()) || isUnknown(after()) || areSame(before, after), true);
    })
    .map((name) => ({ path: `${path}.parameters.${name}`, fact }));
}

/** True also while one of the two is unknown. */
function isOne(left: unknown, right: unknown): boolean {
  return left === right || isUnknown(left) || isUnknown(right);
}

function itemsAt(spec: unknown, name: string): readonly Fields[] {
  const list = valueAt(spec, name);
  return Array.isArray(list) ? list.filter(isFields) : [];
}

function checkArchiver(wanted: unknown, final: unknown, path: string): Finding[] {
  const [own, others] = [archiversOf(wanted), archiversOf(final)];
  if (own === null || others === null) return [];
  const gone = own.filter((name) => !others.includes(name));
  const strange = others.filter((name) => !own.includes(name));
  return [
    ...gone.map((name) => finding("PB201", `${path}.plugins`, `it stops ${name} from archiving any WAL`, LEAVE_OUT)),
    ...strange.map((name) =>
      finding(
        "PB196",
        `${path}.${name === BARMAN_OBJECT_STORE ? "backup" : "plugins"}`,
        `${name} would archive too`,
        LEAVE_OUT,
      ),
    ),
  ];
}
