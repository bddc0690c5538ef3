/**
 * Reads topologies from files of CI: `pulumi preview --json --show-sames`, `pulumi stack export`, a document saved by
 * `pgbackstop topology show`, or a component's output `topology`, recognized by their shape. Pure; reads nothing but
 * topologies and findings.
 *
 * The engine writes unknown values as fixed UUIDs. It writes secrets as `[secret]` (previews) or as an object with a
 * fixed signature, encrypted or with --show-secrets in plain text (exports). Both become markers of unknown.ts here, so
 * no secret goes further.
 */
import {
  type Diagnostic,
  type LoggedFinding,
  parseErrors,
  parseLogged,
  type PreviewErrors,
} from "../findings/loggedFindings";
import { findRepoIndex } from "../model/defaults";
import type { TopologySet } from "../diff";
import { checkArguments } from "../arguments/checkArguments";
import { asArchived, type ClusterSpecs, clusterSpecs } from "./liveCluster";
import type { Topology } from "./topology";
import { TOPOLOGY_TYPES } from "./topologyTypes";
import { isSecret, isUnknown, SECRET_MARKER, unknownMarker } from "../model/unknown";
import { isFields } from "../model/anyValue";

export interface StackFile {
  readonly kind: "preview" | "export" | "document" | "topology";
  /** Only previews have both. */
  readonly before: TopologySet | null;
  readonly after: TopologySet;
  readonly findings: readonly LoggedFinding[];
  /** Time of an export's state, in the engine's form; absent if the file has none. */
  readonly madeAt?: string;
}

/** The error in a file, for the user. */
export class StackFileError extends Error {}

/** A failed preview lacks resources, which would look like removals or like no change. */
export class FailedPreviewError extends StackFileError {
  readonly errors: PreviewErrors;
  /** Warnings and notes that it logged all the same. */
  readonly findings: readonly LoggedFinding[];

  constructor(errors: PreviewErrors, findings: readonly LoggedFinding[]) {
    super("the preview failed, so it is incomplete: fix what its diagnostics name first");
    this.errors = errors;
    this.findings = findings;
  }
}

const COMPONENT = /^pgbackstop:index:/;
const SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d";
/** Markers for types of the engine's property map: bool, number, string, array, asset, archive, object. */
const UNKNOWNS = [
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
];
const LISTS = ["databases", "repositories", "flows", "schedules", "drills", "silenced"] as const;

/** @throws StackFileError for text of another shape @throws FailedPreviewError */
export function parseStackFile(text: string): StackFile {
  const document = parseJson(text);
  if (Array.isArray(document["steps"])) return fromPreview(document, document["steps"]);
  const deployment = document["deployment"];
  if (isFields(deployment)) {
    if (document["version"] !== 3 && document["version"] !== 4)
      throw new StackFileError(
        `a stack export of version ${String(document["version"])} is not supported: only 3 and 4 are`,
      );
    const manifest = deployment["manifest"];
    const time = isFields(manifest) ? manifest["time"] : undefined;
    const madeAt =
      typeof time === "string" && Number.isFinite(Date.parse(time)) ? { madeAt: new Date(time).toISOString() } : {};
    const { resources = [] } = deployment;
    // A new stack has none.
    if (!Array.isArray(resources)) throw new StackFileError("the stack export's resources are not a list");
    return { ...fromResources(resources), ...madeAt };
  }
  if (isFields(document["topologies"])) {
    checkVersion(document["version"], "the document");
    const sets = Object.entries(document["topologies"]).map(
      ([name, topology]) => [name, topology === null ? null : readTopology(topology, name)] as const,
    );
    return { kind: "document", before: null, after: new Map(sets), findings: [] };
  }
  if (Array.isArray(document["databases"]) && Array.isArray(document["repositories"])) {
    const topology = readTopology(document, "the topology");
    return {
      kind: "topology",
      before: null,
      after: new Map([[topology?.databases[0]?.name ?? "", topology]]),
      findings: [],
    };
  }
  throw new StackFileError(
    "this JSON is not a pulumi preview --json --show-sames, a pulumi stack export or a saved topology",
  );
}

function parseJson(text: string): Record<string, unknown> {
  if (text.trim() === "") throw new StackFileError("the file is empty");
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch {
    throw new StackFileError(
      /^\s*\{.*\}\s*\n\s*\{/.test(text)
        ? "this is a stream of events, one JSON object a line: unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW for pulumi preview --json --show-sames"
        : "this is not JSON: run pulumi preview with --json --show-sames, and save its stdout only",
    );
  }
  if (!isFields(value)) throw new StackFileError("this JSON is not an object");
  return value;
}

interface TopologyEntry {
  readonly urn: string;
  readonly before: unknown;
  readonly after: unknown;
}

function fromPreview(document: Readonly<Record<string, unknown>>, steps: readonly unknown[]): StackFile {
  const diagnostics = (Array.isArray(document["diagnostics"]) ? document["diagnostics"] : []).filter(isFields);
  const entries = steps.filter(isFields).flatMap((step): TopologyEntry[] => {
    const [before, after] = [topologyIn(step["oldState"]), topologyIn(step["newState"])];
    if (before === undefined && after === undefined) return [];
    return [{ urn: String(step["urn"]), before, after: step["op"] === "delete" ? undefined : after }];
  });
  const names = namesOf(entries.map(({ urn }) => urn));
  const statesOf = (name: "oldState" | "newState"): unknown[] => steps.filter(isFields).map((each) => each[name]);
  const side = (pick: (each: TopologyEntry) => unknown, specs: ClusterSpecs): Map<string, Topology | null> =>
    new Map(
      entries.flatMap((each) => {
        const value = pick(each);
        const name = names.get(each.urn) ?? each.urn;
        return value === undefined ? [] : [[name, readTopology(value, name, specs.get(each.urn))] as const];
      }),
    );
  const before = side((each) => each.before, clusterSpecs(statesOf("oldState"), ["outputs", "inputs"]));
  const after = side((each) => each.after, clusterSpecs(statesOf("newState"), ["inputs"]));
  const findings = findingsOf(diagnostics, names, after);
  const errors = diagnostics.filter((diagnostic) => diagnostic["severity"] === "error");
  if (errors.length > 0) throw new FailedPreviewError(parseErrors(errors), findings);
  refuseWithoutSames(document["changeSummary"], steps);
  return { kind: "preview", before, after, findings };
}

/** The engine counts unchanged resources, and lists them only with --show-sames. An omitted database looks removed. */
function refuseWithoutSames(summary: unknown, steps: readonly unknown[]): void {
  const counted = isFields(summary) ? Number(summary["same"] ?? 0) : 0;
  const omittedCount = counted - steps.filter((step) => isFields(step) && step["op"] === "same").length;
  if (!(omittedCount > 0)) return;
  throw new StackFileError(
    `the preview omits ${omittedCount} unchanged ${omittedCount === 1 ? "resource" : "resources"}: run pulumi preview with --json --show-sames`,
  );
}

function fromResources(resources: readonly unknown[]): StackFile {
  const entries = resources.filter(isFields).flatMap((resource): TopologyEntry[] => {
    const after = resource["delete"] === true ? undefined : topologyIn(resource);
    return after === undefined ? [] : [{ urn: String(resource["urn"]), before: undefined, after }];
  });
  const names = namesOf(entries.map(({ urn }) => urn));
  const specs = clusterSpecs(resources, ["outputs", "inputs"]);
  const after = new Map(
    entries.map((each) => {
      const name = names.get(each.urn) ?? "";
      return [name, readTopology(each.after, name, specs.get(each.urn))] as const;
    }),
  );
  return { kind: "export", before: null, after, findings: [] };
}

/** Undefined for other components. */
function topologyIn(state: unknown): unknown {
  if (!isFields(state) || !COMPONENT.test(String(state["type"])) || !isFields(state["inputs"])) return undefined;
  return state["inputs"]["topology"];
}

/** The logical name, with the type or the whole URN if needed to distinguish them. */
function namesOf(urns: readonly string[]): Map<string, string> {
  const forms = [
    (urn: string) => urn.split("::").slice(3).join("::"),
    (urn: string) => `${urn.split("::")[2]?.split(":").at(-1) ?? ""} ${urn.split("::").slice(3).join("::")}`,
    (urn: string) => urn,
  ];
  const counts = forms.map((form) => {
    const entries = new Map<string, number>();
    for (const urn of new Set(urns)) entries.set(form(urn), (entries.get(form(urn)) ?? 0) + 1);
    return entries;
  });
  const names = new Map<string, string>();
  for (const urn of urns) {
    const formIndex = forms.findIndex((form, index) => counts[index]?.get(form(urn)) === 1);
    names.set(urn, forms[formIndex]?.(urn) ?? urn);
  }
  return names;
}

/**
 * Null if nothing of it is known.
 * @param spec of the stack's Cluster, if it has one
 * @throws StackFileError for anything but a topology, or a newer version
 */
function readTopology(value: unknown, name: string, spec?: unknown): Topology | null {
  const marked = withMarkers(value);
  if (typeof marked === "string") return null;
  if (!isFields(marked)) throw new StackFileError(`${name}: the topology is missing`);
  checkVersion(marked["version"], name);
  // An unknown list hides too much for any comparison.
  if (LISTS.some((list) => typeof marked[list] === "string")) return null;
  const topology = { ...marked, objectives: marked["objectives"] ?? {} } as object as Topology;
  const wrong = problemOf(topology);
  if (wrong !== null) throw new StackFileError(`${name}: ${wrong}: save it again as pulumi or pgbackstop prints it`);
  return asArchived(topology, withMarkers(spec));
}

/** Unknown fields are of newer versions. */
function problemOf(topology: Topology): string | null {
  const [first] = checkArguments("Topology", topology, {
    types: TOPOLOGY_TYPES,
    ignoresUnknown: true,
    // A secret hides its type too.
    isDeferred: (value) => isUnknown(value) || isSecret(value),
    refusesDeferred: () => false,
  });
  if (first !== undefined) return `${first.path}: ${first.message}`;
  const { databases, repositories } = topology;
  if (databases.length !== 1) return `a topology has one database, this one has ${databases.length}`;
  const other = repositories.find(({ key, name }) => findRepoIndex(name) !== key);
  return other === undefined ? null : `repository ${other.name} has the key ${other.key}`;
}

function checkVersion(version: unknown, name: string): void {
  if (version === 1) return;
  throw new StackFileError(
    `${name}: version ${String(version)} of the topology is unknown, only 1 is supported: use the pgbackstop that wrote it`,
  );
}

/** Replaces what the engine hides by markers of unknown.ts. */
function withMarkers(value: unknown): unknown {
  if (typeof value === "string")
    return value === "[secret]" ? SECRET_MARKER : isEnginesUnknown(value) ? unknownMarker(0) : value;
  if (Array.isArray(value)) return value.map(withMarkers);
  if (!isFields(value)) return value;
  if (SECRET_SIGNATURE in value) return SECRET_MARKER;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMarkers(item)]));
}

function isEnginesUnknown(text: string): boolean {
  return text === "[unknown]" || text.includes("\u0000unknown:") || UNKNOWNS.some((unknown) => text.includes(unknown));
}

function findingsOf(
  diagnostics: readonly Diagnostic[],
  names: ReadonlyMap<string, string>,
  topologies: TopologySet,
): LoggedFinding[] {
  return diagnostics.flatMap((diagnostic): LoggedFinding[] => {
    const database = names.get(String(diagnostic["urn"]));
    const logged = parseLogged(String(diagnostic["message"]));
    if (database === undefined || logged === null) return [];
    const { message, ...rest } = logged;
    return [
      { database, ...rest, ...(message === undefined || hasSecret(topologies.get(database)) ? {} : { message }) },
    ];
  });
}

function hasSecret(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasSecret);
  return isFields(value) ? Object.values(value).some(hasSecret) : value === SECRET_MARKER;
}
