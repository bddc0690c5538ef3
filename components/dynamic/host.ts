/**
 * The host resource's methods, which the engine calls in the dynamic provider's process. They translate between the
 * resource's inputs and outputs (plain data) and host/.
 *
 * A method's state may come from an older or a newer version of this package (docs/upgrading.md): missing parts count
 * as empty.
 */
import { type CipherInput, passphraseFaults, rememberPassphrases } from "../credentials/fingerprint";
import { convergeHost, type DesiredHost, PartlyApplied, readHost } from "../host/converge";
import { type HostIdentity, type HostOutcome, ownersPath } from "../host/hostIdentity";
import { removeHost } from "../host/removeHost";
import { type BriefFile, wholeFiles } from "../host/briefFiles";
import type { NodeInput, NodeLocation } from "../host/node/nodeChoice";
import type { PostgresInput } from "../host/postgresInstall";
import { lackingFull, locationsIn } from "../host/hostDestinations";
import { type DesiredDirectory, desiredText, type OwnerRole, sha256Hex } from "../host/desiredFiles";
import type { StockOnHost } from "../host/stock";
import type { SignInInput } from "../host/ssh/sshTarget";
import { UNIT_AT_WORK, type UnitNames } from "../host/systemdUnits";
import { loadRuntimeBundle, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { type ConnectionInput, hostOf, log, withConnection } from "./reach";
import { given } from "../../runtime/base/given";
import { sortedJson } from "../plan/model/anyValue";
import { hasUnknown, isUnknown } from "./previewValues";

/** The program on the host. */
export interface RuntimeInput {
  /** How Node.js gets there; omitted if the host's own is used. */
  readonly node?: NodeInput;
  readonly path: string;
  readonly sha256: string;
  /** Program and options that every verb shares. */
  readonly argv: readonly string[];
  /** The command that passes the secrets to a verb; omitted if PostgreSQL's account reads them itself. */
  readonly launcher?: string;
  /** Paths of existing secrets on the host; omitted if absent. */
  readonly secretFiles?: readonly string[];
}

export interface DirectoriesInput {
  readonly config: string;
  readonly units: string;
  readonly make: readonly DesiredDirectory[];
  readonly keep: readonly DesiredDirectory[];
  /** Required mount points. */
  readonly mounts: readonly string[];
}

export interface ServerInput {
  /** Account of PostgreSQL. */
  readonly user: string;
  /** For messages, the container that PostgreSQL runs in; omitted if it runs on the host itself. */
  readonly container?: string;
  /** The required PostgreSQL; if omitted, any. */
  readonly postgres?: PostgresInput;
  readonly mayRestart: boolean;
  readonly restartCommand: readonly string[];
}

/** Everything except files and reasons to recreate the host. */
export interface DesiredInput {
  readonly stanza: string;
  readonly server: ServerInput;
  readonly directories: DirectoriesInput;
  readonly runtime: RuntimeInput;
  /** Omitted if the runtime is the engine. */
  readonly stock?: StockOnHost;
  readonly units: UnitNames;
  readonly backups: { readonly takeFirst: boolean };
}

/**
 * Related values share a property: each property costs a preview several promises of the SDK.
 */
export interface HostInputs {
  readonly connection: ConnectionInput;
  /** URN of the component. */
  readonly owner: string;
  readonly dataDirectory: string;
  readonly desired: DesiredInput;
  /** Absolute path to the desired file, and lines of several files by a name: {@link wholeFiles} reads them. */
  readonly files: Readonly<Record<string, BriefFile>>;
  /** Passphrases by the repositories' keys. Secret. */
  readonly ciphers: Readonly<Record<string, CipherInput>>;
  readonly settings: Readonly<Record<string, string>>;
  /** Credentials of the host, then of the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[];
}

/** As the engine passes them on: what is known and no secret, in JSON. */
export interface GivenInputs extends Omit<HostInputs, "desired" | "files"> {
  readonly desired: string;
  readonly files: string;
  /** Files with deferred or secret texts. */
  readonly closedFiles?: Readonly<Record<string, BriefFile>>;
}

interface KeptIdentity extends HostIdentity {
  readonly connection: ConnectionInput;
  /** Paths of files that belong to another role than `admin`. */
  readonly owners: Readonly<Record<string, OwnerRole>>;
  readonly postgresVersion?: number;
  /** Paths of the files with secret text. */
  readonly secretPaths: readonly string[];
}

/** The part of the outcome that programs read. */
export type HostStatus = Pick<HostOutcome, "pendingRestart" | "timersEnabled" | "firstBackup" | "destinations">;

/** The outcome with secret files' digests separate, the host's identity, and the findings of a refresh. */
export interface HostOutputs extends Omit<HostOutcome, keyof HostStatus> {
  status: HostStatus;
  identity: KeptIdentity;
  secretFileFacts: Record<string, string>;
  /**
   * Files, settings and units after the last update, which a refresh compares with: those that differ from the last
   * known state. Repeating the others would be an eighth of a host's state.
   */
  driftedFacts?: Record<string, string>;
  drift: string[];
  /** The only inputs of a refresh and a removal. Secret. */
  keptSignIn?: readonly SignInInput[];
  /** Each repository's location, including previous ones, to its passphrase's fingerprint. */
  cipherFingerprints: Record<string, string>;
}

/** A name among the facts, which otherwise name paths, settings and units. */
const NODE_FACT = "Node.js";
const RUNTIME_MODE = "0644";

/**
 * Compares the host's last known state with the desired one. Another data directory, host or purpose is another
 * resource.
 * @throws Error if a repository would get another passphrase: it cannot be changed in place
 */
export async function diff(
  _id: string,
  olds: Partial<HostOutputs>,
  inputs: GivenInputs,
): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }> {
  if (isUnknownYet(inputs)) return { changes: true, replaces: [], deleteBeforeReplace: true };
  const news = readInputs(inputs);
  requirePassphrases(olds, news);
  for (const line of olds.drift ?? []) log(`changed by hand: ${line}`);
  const replaces = [
    ...(olds.identity !== undefined && olds.identity.dataDirectory !== news.dataDirectory && !isUpgrade(olds, news)
      ? ["dataDirectory"]
      : []),
    ...(olds.identity !== undefined && hostOf(olds.identity.connection) !== hostOf(news.connection)
      ? ["connection"]
      : []),
    // If a host starts or stops archiving, recreating it sets or restores the settings.
    ...(olds.identity !== undefined && isEmpty(olds.identity.settings) !== isEmpty(news.settings) ? ["settings"] : []),
  ];
  return { changes: replaces.length > 0 || differences(olds, news).length > 0, replaces, deleteBeforeReplace: true };
}

/**
 * Another data directory with a newer major version, declared on a host that archives the older one: pg_upgrade's new
 * cluster. The runtime proves that it is before the stanza follows it.
 */
function isUpgrade(olds: Partial<HostOutputs>, { desired, settings }: HostInputs): boolean {
  const { identity, serverVersion = 0 } = olds;
  const { server, stanza, stock } = desired;
  return (
    identity !== undefined &&
    stock === undefined &&
    identity.stanza === stanza &&
    !isEmpty(identity.settings) &&
    !isEmpty(settings) &&
    // An upgrade under way may turn to another directory, or back to the previous one.
    (olds.upgradedFrom !== undefined ||
      (serverVersion > 0 && (server.postgres?.version ?? 0) > Math.floor(serverVersion / 10_000)))
  );
}

/** Differences between the host's last known state and `news`: names of files, settings, units and other parts. */
export function differences(olds: Partial<HostOutputs>, news: HostInputs): string[] {
  const actual = { ...olds.fileFacts, ...olds.secretFileFacts };
  const wanted = wantedFacts(news);
  const { backups, units } = news.desired;
  const paths = new Set([...Object.keys(actual), ...Object.keys(wanted)]);
  return [
    ...[...paths].filter((path) => actual[path] !== wanted[path]),
    ...Object.keys(news.settings).filter((name) => olds.settingFacts?.[name] !== news.settings[name]),
    ...(olds.status?.timersEnabled === true
      ? units.enabled.filter((unit) => olds.unitFacts?.[unit] !== UNIT_AT_WORK)
      : []),
    ...(isEqual(olds.identity, identityOf(news)) ? [] : ["identity"]),
    ...(olds.status?.pendingRestart === true ? ["pendingRestart"] : []),
    ...((olds.nodeFact ?? "") === (appliedOf(olds)[NODE_FACT] ?? "") ? [] : [NODE_FACT]),
    ...(olds.ready === true ? [] : ["ready"]),
    ...(backups.takeFirst && olds.status?.firstBackup === "off" ? ["firstBackup"] : []),
    ...(backups.takeFirst && lackingFull(olds.status?.destinations).length > 0 ? ["destinations"] : []),
  ];
}

export async function create(inputs: GivenInputs): Promise<{ id: string; outs: HostOutputs }> {
  const news = readInputs(inputs);
  return { id: idOf(news), outs: await apply(news, null) };
}

export async function update(
  _id: string,
  olds: Partial<HostOutputs>,
  news: GivenInputs,
): Promise<{ outs: HostOutputs }> {
  return { outs: await apply(readInputs(news), olds) };
}

/** The true state. `drift` names differences from the last known one. */
export async function read(id: string, props?: Partial<HostOutputs>): Promise<{ id: string; props: HostOutputs }> {
  if (props?.identity === undefined)
    throw new Error("a host cannot be imported: declare it, and an update takes over what exists");
  const { identity } = props;
  const access = { connection: identity.connection, signIn: props.keptSignIn };
  const after = await withConnection(access, (connection) =>
    readHost(connection, identity, outcomeOf(props), ownersOf(props, identity), log),
  );
  const applied = appliedOf(props);
  const drift = driftOf(applied, allFacts(after));
  for (const line of drift) log(`changed by hand: ${line}`);
  const kept = { cipherFingerprints: props.cipherFingerprints ?? {}, ...given({ keptSignIn: props.keptSignIn }) };
  return { id, props: outputsOf(identity, after, driftedFrom(applied, allFacts(after)), drift, kept) };
}

export async function remove(_id: string, props: Partial<HostOutputs>): Promise<void> {
  const { identity } = props;
  if (identity === undefined) return;
  const access = { connection: identity.connection, signIn: props.keptSignIn };
  await withConnection(access, (connection) => removeHost(connection, identity, outcomeOf(props), log));
}

async function apply(inputs: HostInputs, olds: Partial<HostOutputs> | null): Promise<HostOutputs> {
  requirePassphrases(olds ?? {}, inputs);
  const identity = identityOf(inputs);
  const former = olds?.identity;
  const desired = {
    ...desiredOf(inputs, identity),
    ...given({ formerOwner: former?.owner, formerOwnersPath: former === undefined ? undefined : ownersPath(former) }),
  };
  try {
    const before = olds === null ? null : outcomeBefore(olds, identity);
    const patience = { log, isNew: olds === null };
    const outcome = await withConnection(
      inputs,
      (connection) => convergeHost(connection, desired, before, log),
      patience,
    );
    return outputsOf(identity, outcome, {}, [], keptOf(inputs, olds, outcome));
  } catch (error) {
    if (error instanceof PartlyApplied) {
      const kept = keptOf(inputs, olds, error.outcome);
      throw new InitializationFailed(inputs, outputsOf(identity, error.outcome, {}, [], kept), error.message);
    }
    throw error;
  }
}

/** The desired state of an update. @throws Error if the program differs from the preview's */
export function desiredOf(inputs: HostInputs, identity: HostIdentity = identityOf(inputs)): DesiredHost {
  const { backups, directories, runtime, server, stock } = inputs.desired;
  if (runtime.sha256 !== runtimeBundleSha256()) {
    throw new Error("runtime.cjs of this package changed between preview and update: run the update again");
  }
  return {
    ...identity,
    ...given({ bringsNode: runtime.node, stock, postgres: server.postgres }),
    files: [
      // First: it reads the configuration of an older package, and ignores what only a newer one knows. A timer may
      // start it between two files.
      { path: runtime.path, mode: RUNTIME_MODE, owner: "admin" as const, content: loadRuntimeBundle() },
      ...wholeFiles(inputs.files).map(([path, { mode, owner, text }]) => ({ path, mode, owner, content: text })),
    ],
    directoriesToMake: directories.make,
    directoriesToKeep: directories.keep,
    mounts: directories.mounts,
    firstBackup: backups.takeFirst,
    ...given({ locations: locationsOf(inputs), secretFiles: runtime.secretFiles }),
  };
}

/** Undefined if they are secret: a digest may reveal them. */
function locationsOf({ desired, files }: HostInputs): Record<string, string> | undefined {
  const config = desired.runtime.argv.find((argument) => argument.startsWith("--config="));
  const [, conf] = wholeFiles(files).find(([path]) => config === `--config=${path}`) ?? [];
  return conf === undefined || conf.secret ? undefined : locationsIn(conf.text);
}

export function readInputs({ closedFiles, desired, files, ...others }: GivenInputs): HostInputs {
  const open = JSON.parse(files) as HostInputs["files"];
  return { ...others, desired: JSON.parse(desired) as DesiredInput, files: { ...open, ...closedFiles } };
}

/**
 * In a preview an unknown property is a text of the engine, whatever its type. A connection may have unknown parts:
 * which host it reaches is then unknown.
 */
function isUnknownYet({ closedFiles, connection, dataDirectory, desired, files, settings }: GivenInputs): boolean {
  if (hasUnknown(connection) || isUnknown(dataDirectory)) return true;
  return [closedFiles, desired, files, settings].some((part) => typeof part === "string" && !part.startsWith("{"));
}

/**
 * Runs before anything is written. In a refresh `news` comes from the state. A passphrase that a preview does not know
 * yet is left to the update.
 * @throws Error
 */
function requirePassphrases(olds: Partial<HostOutputs>, news: Pick<Partial<HostInputs>, "ciphers">): void {
  const ciphers = Object.entries(news.ciphers ?? {}).filter(([, cipher]) => !hasUnknown(cipher));
  const faults = passphraseFaults(Object.fromEntries(ciphers), olds.cipherFingerprints ?? {});
  if (faults.length > 0) throw new Error(`a passphrase cannot be changed in place:\n  ${faults.join("\n  ")}`);
}

/** A passphrase is in use, and recorded, once the stanza was created with it. */
function fingerprintsOf(
  inputs: HostInputs,
  olds: Partial<HostOutputs> | null,
  { stanzaMade }: HostOutcome,
): Record<string, string> {
  const known = olds?.cipherFingerprints ?? {};
  return stanzaMade ? rememberPassphrases(inputs.ciphers, known) : { ...known };
}

/**
 * The engine records it as "created, but not working yet": it keeps the state, and the next update continues from
 * there.
 */
class InitializationFailed extends Error {
  readonly id: string;
  readonly properties: object;
  readonly reasons: string[];

  constructor(inputs: HostInputs, outputs: HostOutputs, reason: string) {
    super(reason);
    this.id = idOf(inputs);
    // The SDK adds its own property to results, but not to failures.
    const own = "__provider";
    this.properties = { ...outputs, [own]: (inputs as HostInputs & { readonly [own]?: string })[own] };
    this.reasons = [reason];
  }
}

function idOf(inputs: HostInputs): string {
  return `${hostOf(inputs.connection)}/${inputs.desired.stanza}`;
}

type Kept = Pick<HostOutputs, "cipherFingerprints" | "keptSignIn">;

function keptOf(inputs: HostInputs, olds: Partial<HostOutputs> | null, outcome: HostOutcome): Kept {
  const { signIn = [] } = inputs;
  const cipherFingerprints = fingerprintsOf(inputs, olds, outcome);
  return signIn.length === 0 ? { cipherFingerprints } : { cipherFingerprints, keptSignIn: signIn };
}

function identityOf(inputs: HostInputs): KeptIdentity {
  const entries = wholeFiles(inputs.files);
  const { directories, runtime, server, stanza, units } = inputs.desired;
  return {
    connection: inputs.connection,
    ...given({ owner: inputs.owner }),
    stanza,
    user: server.user,
    ...given({ container: server.container }),
    dataDirectory: inputs.dataDirectory,
    directories: { config: directories.config, units: directories.units },
    runtimeArgv: runtime.argv,
    ...given({ launcher: runtime.launcher }),
    units,
    settings: inputs.settings,
    allowRestart: server.mayRestart,
    restartCommand: server.restartCommand,
    ...(runtime.node === undefined ? {} : { node: nodeLocationOf(runtime.node) }),
    // A new version must show as a change.
    ...(server.postgres === undefined ? {} : { postgresVersion: server.postgres.version }),
    owners: Object.fromEntries(entries.flatMap(([path, { owner }]) => (owner === "admin" ? [] : [[path, owner]]))),
    secretPaths: entries.filter(([, file]) => file.secret).map(([path]) => path),
  };
}

/** Owners of every file of the last update. */
function ownersOf(outputs: Partial<HostOutputs>, { owners }: KeptIdentity): Record<string, OwnerRole> {
  const paths = Object.keys({ ...outputs.fileFacts, ...outputs.secretFileFacts });
  return { ...Object.fromEntries(paths.map((path) => [path, "admin" as const])), ...owners };
}

/** Its location without its source: another machine may use another source. */
function nodeLocationOf({ file, look, path }: NodeInput): NodeLocation {
  return { file, look, path };
}

function wantedFacts(inputs: HostInputs): Record<string, string> {
  const { runtime } = inputs.desired;
  const files = wholeFiles(inputs.files).map(([path, file]): [string, string] => [
    path,
    desiredText(file, sha256Hex(file.text)),
  ]);
  return {
    ...Object.fromEntries(files),
    [runtime.path]: desiredText({ mode: RUNTIME_MODE, owner: "admin" }, runtime.sha256),
  };
}

function outcomeOf(outputs: Partial<HostOutputs>): HostOutcome {
  return {
    fileFacts: { ...outputs.fileFacts, ...outputs.secretFileFacts },
    settingFacts: outputs.settingFacts ?? {},
    unitFacts: outputs.unitFacts ?? {},
    timersEnabled: outputs.status?.timersEnabled ?? false,
    pendingRestart: outputs.status?.pendingRestart ?? false,
    previousSettings: outputs.previousSettings ?? {},
    madeDirectories: outputs.madeDirectories ?? [],
    serverVersion: outputs.serverVersion ?? 0,
    versions: outputs.versions ?? {},
    nodeFact: outputs.nodeFact ?? "",
    nodePaths: outputs.nodePaths ?? [],
    firstBackup: outputs.status?.firstBackup ?? "waiting",
    destinations: outputs.status?.destinations ?? "",
    stanzaMade: outputs.stanzaMade ?? false,
    ready: outputs.ready ?? false,
    ...given({ locations: outputs.locations, machineId: outputs.machineId }),
    ...given({ upgradedFrom: outputs.upgradedFrom, walGap: outputs.walGap }),
  };
}

/** Another data directory than before is an upgrade: other changes of it are a replacement. */
function outcomeBefore(olds: Partial<HostOutputs>, { dataDirectory }: HostIdentity): HostOutcome {
  const { upgradedFrom, ...outcome } = outcomeOf(olds);
  const former = upgradedFrom ?? olds.identity?.dataDirectory ?? dataDirectory;
  return former === dataDirectory ? outcome : { ...outcome, upgradedFrom: former };
}

function allFacts(outcome: HostOutcome): Record<string, string> {
  const node = outcome.nodeFact === "" ? {} : { [NODE_FACT]: outcome.nodeFact };
  return { ...outcome.fileFacts, ...outcome.settingFacts, ...outcome.unitFacts, ...node };
}

function outputsOf(
  identity: KeptIdentity,
  outcome: HostOutcome,
  driftedFacts: Record<string, string>,
  drift: string[],
  kept: Kept,
): HostOutputs {
  const isSecret = (path: string): boolean => identity.secretPaths.includes(path);
  const { pendingRestart, timersEnabled, firstBackup, destinations, ...others } = outcome;
  const entries = Object.entries(outcome.fileFacts);
  return {
    ...others,
    status: { pendingRestart, timersEnabled, firstBackup, destinations },
    identity,
    fileFacts: Object.fromEntries(entries.filter(([path]) => !isSecret(path))),
    secretFileFacts: Object.fromEntries(entries.filter(([path]) => isSecret(path))),
    // An empty secret is 130 bytes.
    ...(isEmpty(driftedFacts) ? {} : { driftedFacts }),
    drift,
    ...kept,
  };
}

/** Facts after the last update. */
function appliedOf(olds: Partial<HostOutputs>): Readonly<Record<string, string>> {
  return { ...allFacts(outcomeOf(olds)), ...olds.driftedFacts };
}

/** The facts of `applied` that `now` lacks or has otherwise. No Node.js of ours is the empty text. */
function driftedFrom(
  applied: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): Record<string, string> {
  const node = now[NODE_FACT] === undefined ? {} : { [NODE_FACT]: "" };
  return Object.fromEntries(Object.entries({ ...node, ...applied }).filter(([name, fact]) => now[name] !== fact));
}

/** Names differences from the last update: path, setting or unit, then the change. */
function driftOf(applied: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return Object.keys(now)
    .filter((name) => applied[name] !== undefined && applied[name] !== now[name])
    .map((name) => `${name}: ${changeText(applied[name] ?? "", now[name] ?? "")}`);
}

/** `content changed, mode 0644 → 0600` for a file, `was → is` for anything else; messages contain no digests. */
function changeText(was: string, is: string): string {
  const [oldMode, oldOwner, oldSha256] = was.split(" ");
  const [mode = "", owner, sha256] = is.split(" ");
  if (oldSha256 === undefined || !oldSha256.startsWith("sha256:"))
    return is === "another value" ? is : `${was} → ${is}`;
  if (!/^[0-7]{4}$/.test(mode)) return is;
  return [
    ...(oldSha256 === sha256 ? [] : ["content changed"]),
    ...(oldMode === mode ? [] : [`mode ${oldMode} → ${mode}`]),
    ...(oldOwner === owner ? [] : [`owner ${oldOwner} → ${owner}`]),
  ].join(", ");
}

function isEmpty(settings: Readonly<Record<string, string>>): boolean {
  return Object.keys(settings).length === 0;
}

function isEqual(left: unknown, right: unknown): boolean {
  return sortedJson(left) === sortedJson(right);
}
