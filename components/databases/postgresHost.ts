/** PostgreSQL on a host (a VPS, a server, this machine) with its backups. */
import { hostPaths, shellArgument } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { withCheckedCipher } from "../credentials/checkedPassphrase";
import { sharedByHost, type SharedUses } from "./sharedUse";
import { notifyText } from "../credentials/notifyFile";
import { otlpText } from "../credentials/otlpFile";
import { secretFiles } from "../credentials/repositorySecretFiles";
import { resourceType } from "../dynamic/dynamicResource";
import { type CipherArgs, type FileArgs, HostState, type HostStateArgs } from "../dynamic/hostState";
import { type BriefFile, briefFile, briefTexts } from "../host/briefFiles";
import { chooseNode, type NodeChoice, type NodeInput, type NodeSettings } from "../host/node/nodeChoice";
import { changedTypes } from "../plan/arguments/checkArguments";
import { engineOf } from "../plan/engines/engines";
import { DEFAULTS } from "../plan/model/defaults";
import { childName, typeToken } from "../internal/children";
import { apart, derived, isDeferredInput, secretText, splitKnown, withoutSecrets } from "../internal/inputs";
import { judgedAgain } from "../internal/registeredObjects";
import { loadArchiveClient, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { checkedArguments, logInTwoSteps, logWarnings, throwErrors, withoutSecretValues } from "../internal/validate";
import type { HostPlan } from "../plan/model/plan";
import { resolveHost } from "../plan/model/resolveDatabase";
import type { HostSettings } from "../plan/model/databaseSettings";
import type { Finding } from "../plan/findings/findings";
import { given } from "../../runtime/base/given";
import { attempt, fields, DeferredRead, merged, view } from "../plan/model/deferred";
import { checkHost } from "../plan/rules";
import { checkFinalFields } from "../plan/rules/finalObject";
import { abstaining } from "../plan/findings/abstain";
import { renderTopology, topologyOf } from "../plan/topology/topology";
import { notifyPath, otlpPath, type RenderedFile, reportPasswordPath } from "../render/host/renderedFile";
import { hostEngine } from "../render/engines/engineTable";
import { hostFilesOf } from "../render/host/hostParts";
import { keptTargets, type KnownTarget, knownTarget, openTarget } from "../repositories/common";
import type { RepositoryTarget } from "../repositories/target";
import { drilledDatabase, warnUndrilled } from "../drills/drilled";
import type { DrilledDatabase } from "../drills/drillArgs";
import { ClusterEngine, type RecoveryArgs } from "./cnpgArgs";
import type { HostAccess } from "./hostAccess";
import type { PostgresHostArgs } from "./hostArgs";
import { connectionFindings, connectionInputs, connectionKinds, isRemote, secretConnection } from "./hostConnection";
import { cipherLocation, hostDesired, hostSettings, loadFile } from "./hostFiles";

/** With what a host for drills alone has. */
const TYPES = changedTypes({ PostgresHostArgs: { "drillsOnly?": "boolean" } });

/**
 * Backups of a PostgreSQL server on a host: configuration, runtime, archive settings, stanza, first backup, and timers.
 *
 * With `restoreOnly` it is a host that restores: configuration and runtime, and nothing that writes into a repository.
 *
 * Destroying it stops the timers, puts the archive settings back and removes the files;
 * repositories and their backups stay.
 *
 * ```ts
 * new PostgresHost("ledger", {
 *   connection: { local: {} }, dataDirectory: "/var/lib/postgresql/18/main",
 *   repositories: { repo1: { at: nas.target, keepDays: 7 }, repo2: { at: b2.target, keepDays: 60 } },
 *   schedules: { full: { cron: "30 3 * * 0", timeZone: "Europe/Berlin" } },
 * });
 * ```
 */
export class PostgresHost extends pulumi.ComponentResource {
  /** Name of the cluster in the repositories. */
  public readonly stanza: pulumi.Output<string>;
  /** JSON text of the topology of copies, for comparisons; empty with `restoreOnly`. */
  public readonly topology: pulumi.Output<string>;
  /** Keys of the repositories, ascending. */
  public readonly repositoryNames: pulumi.Output<string[]>;
  /**
   * A command line that restores the newest state; run it with PostgreSQL stopped: as root if there is an agent, else
   * as `user`.
   */
  public readonly restoreCommand: pulumi.Output<string>;
  /** True while PostgreSQL needs a restart before it archives. */
  public readonly pendingRestart: pulumi.Output<boolean>;
  /** False if the timers are only written, because systemd is not running. */
  public readonly timersEnabled: pulumi.Output<boolean>;
  /**
   * `taken`, `found` (every repository had one, and the server archived already), `off` (also with `restoreOnly`), or
   * `waiting` for the restart.
   */
  public readonly firstBackup: pulumi.Output<string>;
  /**
   * JSON text, which the last update or refresh read from the repositories: for each its newest full backup (label, end
   * time) and its newest WAL segment (name, storage time), or why it is unreadable.
   */
  public readonly destinations: pulumi.Output<string>;
  /** For the host that runs the drills declared with `elsewhere`: `new FireDrill("drills", { of: db.drilled, … })`. */
  public readonly drilled: DrilledDatabase;
  /**
   * Location of its backups, for a copy in Kubernetes:
   * `new CnpgRestore("copy", { source: { ...db.source, target }, postgresVersion: 18, storageGiB: 50, … })`. Its
   * repositories must be buckets, with keys that are not in files of the host.
   */
  public readonly source: RecoveryArgs;
  /** For one-shot actions: `new BackupNow("now", { host: db.access })`. */
  public readonly access: HostAccess;

  constructor(name: string, args: PostgresHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const { checked, own, shared, stanza } = PREPARED.get(args) ?? preparedHost(name, args);
    const { derive, deriveApart, known, warn } = checked;
    const { restoreOnly } = known;
    shared.refuse();
    // It holds no copies: it is in no topology.
    const shown = restoreOnly ? { restoreOnly } : { topology: deriveApart((plan) => topologyOf(plan)) };
    super(typeToken("PostgresHost"), name, shown, opts);
    warn(this);
    shared.judge(this);

    const host = this.createHost(name, own, known, derive);

    this.stanza = pulumi.output(stanza);
    this.topology = pulumi.output(derive(({ plan }) => (restoreOnly ? "" : renderTopology(topologyOf(plan)))));
    this.repositoryNames = pulumi.output(known.repositories.map((repository) => repository.name));
    this.restoreCommand = pulumi.output(
      derive(({ plan }) => hostEngine(plan).restoreArgv(plan).map(shellArgument).join(" ")),
    );
    this.pendingRestart = host.status.pendingRestart;
    this.timersEnabled = host.status.timersEnabled;
    this.firstBackup = host.status.firstBackup;
    this.destinations = host.status.destinations;
    this.drilled = drilledDatabase(name, own, (make) => derive(({ plan }) => make(plan)));
    warnUndrilled(this, this.drilled, known.silence);
    this.source = {
      stanza,
      engine: ClusterEngine.Runtime,
      repositories: own.repositories,
      ...given({ postgresVersion: own.postgres?.version }),
    };
    // Known in every preview, and available only once the host is as declared.
    this.access = {
      connection: secretConnection(own.connection),
      user: derive(({ plan }) => (plan.agent ? "root" : plan.user)),
      ...(engineOf(known.engine).stock
        ? {}
        : { databaseUser: derive(({ plan }) => plan.user), nodePath: derive(({ plan }) => plan.nodePath) }),
      server: derive(({ plan }) => ({
        socketDirectory: plan.socketDirectory ?? "/var/run/postgresql",
        port: plan.port,
        user: plan.databaseUser ?? (plan.container === undefined ? plan.user : "postgres"),
      })),
      runtimeArgv: host.urn.apply(() => pulumi.output(derive(({ plan }) => hostEngine(plan).verbArgv(plan)))),
    };
    // The state has the topology among the inputs.
    this.registerOutputs({
      stanza: this.stanza,
      repositoryNames: this.repositoryNames,
      restoreCommand: this.restoreCommand,
      pendingRestart: this.pendingRestart,
      timersEnabled: this.timersEnabled,
      firstBackup: this.firstBackup,
      destinations: this.destinations,
    });
  }

  private createHost(name: string, args: PostgresHostArgs, known: HostPlan, derive: Derive): HostState {
    const { files, ...closed } = hostFiles(args, known, derive);
    const judged = {
      settings: derive(({ plan }) => hostSettings(plan)),
      dataDirectory: derive(({ plan }) => plan.dataDirectory),
      desired: derive(({ input, plan }) =>
        JSON.stringify(hostDesired(plan, runtimeBundleSha256(), input ?? undefined)),
      ),
      files,
    };
    const others = { ...closed, ciphers: withTargets(args, known, derive, ciphersOf), owner: this.urn };
    const again = { title: `PostgresHost ${name}`, parent: this, inputs: judged, compare: checkFinalFields };
    return new HostState(
      childName(name, "host"),
      { ...judged, ...others, ...connectionInputs(args.connection) },
      judgedAgain(childName(name, "host"), resourceType("HostState"), again, { parent: this }),
    );
  }
}

/** A host before it is registered. */
interface PreparedHost {
  readonly own: PostgresHostArgs;
  readonly checked: CheckedHost;
  readonly stanza: pulumi.Input<string>;
  readonly shared: SharedUses;
}

/** Hosts inside of other components, by their arguments. */
const PREPARED = new WeakMap<PostgresHostArgs, PreparedHost>();

/**
 * For a component that makes a host: refuses it before that component is registered itself.
 * @param args of this host alone
 * @throws InputPropertiesError
 */
export function prepareHost(name: string, args: PostgresHostArgs): void {
  const prepared = preparedHost(name, args);
  prepared.shared.refuse();
  PREPARED.set(args, prepared);
}

/** @throws InputPropertiesError */
function preparedHost(name: string, args: PostgresHostArgs): PreparedHost {
  const own = checkedArguments("PostgresHost", name, args, { types: TYPES, kept: keptTargets });
  const checked = checkedHost(name, own);
  const { derive, deriveApart, known } = checked;
  const stanza = deriveApart((plan) => plan.stanza);
  const shared = sharedByHost(`PostgresHost ${name}`, own, {
    known,
    stanza,
    derived: derive((host) => whole(host).plan),
    hasOwnCluster: own.postgres !== undefined,
  });
  return { own, checked, stanza, shared };
}

/** The host once all of its plan is known. */
function whole(host: LookedHost): LookedHost {
  JSON.stringify(host.plan);
  return host;
}

/** Node.js to bring; null to bring none. */
type BroughtNode = NodeInput | null;

/** A host that is checked immediately, and again when all values are known. */
interface CheckedHost {
  /** Reading a deferred value ends what reads it. */
  readonly known: HostPlan;
  readonly derive: Derive;
  /** For what is only shown: each field waits for its own values alone. */
  readonly deriveApart: <T>(make: (plan: HostPlan) => T) => T | pulumi.Output<T>;
  warn(resource: pulumi.Resource): void;
}

/** A host with some values, and what rules find. */
interface LookedHost {
  readonly input: BroughtNode;
  readonly plan: HostPlan;
  findings(): Finding[];
}

/**
 * Something of the host: immediate if it reads no deferred value, since every output costs a preview a millisecond;
 * otherwise deferred.
 */
type Derive = <T>(make: (host: LookedHost) => T) => T | pulumi.Output<T>;

/** @throws InputPropertiesError */
function checkedHost(name: string, args: PostgresHostArgs): CheckedHost {
  const title = `PostgresHost ${name}`;
  const settings = openSettings(args);
  const part = splitKnown(settings);
  const reach = connectionFindings(args.connection);
  const look = (values: unknown): LookedHost => {
    const node = attempt(() => nodeFor(args, values));
    const read = (): NodeChoice => {
      if (node instanceof DeferredRead) throw node;
      return node;
    };
    const path = fields({ nodePath: () => read().path });
    const plan = resolveHost(name, merged(values as HostSettings, path), "");
    const findings = (): Finding[] => checkHost(plan, [...abstaining(() => read().findings), ...reach]);
    return merged(fields({ input: () => read().input ?? null, plan: () => plan }), { findings });
  };
  const now = look(view(part.value));
  const findings = now.findings();
  throwErrors(title, findings);
  const check = (values: unknown, open: unknown): LookedHost & { readonly final: Finding[] } => {
    const host = look(values);
    const final = withoutSecretValues(host.findings(), () => look(view(open)).findings());
    throwErrors(title, final);
    return { ...host, final };
  };
  const checked =
    part.deferred.size === 0
      ? null
      : pulumi.all([pulumi.output(settings), withoutSecrets(part)]).apply((parts) => check(...parts));
  const known = now.plan;
  // Looking for deferred fields takes as long as making the fields.
  if (checked === null)
    return {
      known,
      derive: (make) => make(now),
      deriveApart: (make) => make(known),
      warn: (resource) => logWarnings(findings, resource),
    };
  const resolved = (): pulumi.Output<LookedHost> => checked as pulumi.Output<object> as pulumi.Output<LookedHost>;
  return {
    known,
    derive: (make) => derived(now, resolved, make),
    deriveApart: apart(part, (values) => look(values).plan).derive,
    warn: (resource) =>
      logInTwoSteps(
        findings,
        checked.apply(({ final }) => final),
        resource,
      ),
  };
}

/** Default on this machine: the one that runs this program. */
function nodeFor(args: PostgresHostArgs, values: unknown): NodeChoice {
  if (!isRemote(args.connection) && args.node === undefined)
    return { path: (values as NodeSettings).nodePath ?? process.execPath, findings: [] };
  const { directories } = values as Pick<HostSettings, "directories">;
  return chooseNode(values as NodeSettings, directories?.lib ?? DEFAULTS.directories.lib);
}

/** Targets by the repositories' names; null for none. */
type Targets = Readonly<Record<string, RepositoryTarget | KnownTarget | null>>;

function knownTargets({ repositories }: PostgresHostArgs): pulumi.Output<Readonly<Record<string, KnownTarget | null>>> {
  return pulumi.all(Object.fromEntries(Object.entries(repositories).map(([name, { at }]) => [name, knownTarget(at)])));
}

/** What follows from plan and targets: as a whole when the values arrive, if a target or what it needs is deferred. */
function withTargets<T extends object>(
  args: PostgresHostArgs,
  known: HostPlan,
  derive: Derive,
  make: (plan: HostPlan, targets: Targets, derive: Derive) => T,
): T | pulumi.Output<pulumi.Unwrap<T>> {
  const targets = Object.entries(args.repositories).map(([name, { at }]) => [name, at]);
  const isDeferred = Object.values(args.repositories).some(({ at }) => isDeferredInput(at));
  const made = isDeferred ? null : attempt(() => make(known, Object.fromEntries(targets) as Targets, derive));
  if (made !== null && !(made instanceof DeferredRead)) return made;
  const final = pulumi.all([derive(whole), knownTargets(args)]).apply(([host, all]) => {
    const { plan } = host as LookedHost;
    return pulumi.output(make(plan, all, (derivation) => derivation(host as LookedHost)));
  });
  return pulumi.secret<object>(final) as pulumi.Output<pulumi.Unwrap<T>>;
}

/** The passphrase of each location; empty for a repository without encryption. None for those in a file of the host. */
function ciphersOf(known: HostPlan, targets: Targets, derive: Derive): Record<string, CipherArgs> {
  const rows = known.repositories.flatMap(({ encrypted, name }): [string, CipherArgs][] => {
    const cipher = targets[name]?.cipher;
    // The passphrase is in a file of the host and unknown here; the earlier record of the location stays valid.
    if (cipher === undefined && encrypted) return [];
    const location = derive(({ plan }) => cipherLocation(plan, name));
    return [[name, { location, passphrase: cipher === undefined ? "" : secretText(cipher.passphrase) }]];
  });
  return Object.fromEntries(rows);
}

/** A file whose text is deferred is deferred alone. If the list of files is, all of them are. */
function hostFiles(
  args: PostgresHostArgs,
  known: HostPlan,
  derive: Derive,
): Pick<HostStateArgs, "files" | "closedFiles"> {
  const secret = withTargets(args, known, derive, (plan, targets) => closedFiles(args, plan, targets));
  const isDeferred = (file: RenderedFile): boolean => attempt(() => file.text) instanceof DeferredRead;
  const split = attempt(() => {
    const rendered = hostFilesOf(known);
    const open = filesText(
      known,
      rendered.filter((file) => !isDeferred(file)),
    );
    return { open, closed: rendered.filter(isDeferred) };
  });
  if (split instanceof DeferredRead || pulumi.Output.isInstance(secret))
    return {
      files: derive(({ plan }) => filesText(plan, hostFilesOf(plan))),
      closedFiles: secret,
    };
  const deferred = split.closed.map(({ mode, owner, path }) => {
    const text = derive(({ plan }) => loadFile(hostFilesOf(plan), path).text);
    return [path, briefFile({ mode, owner, text, secret: false })];
  });
  return {
    files: split.open,
    closedFiles: { ...(Object.fromEntries(deferred) as Record<string, FileArgs>), ...secret },
  };
}

function filesText(plan: HostPlan, rendered: readonly RenderedFile[]): string {
  const files = rendered.map(
    ({ path, mode, owner, text }) => [path, briefFile({ mode, owner, text, secret: false })] as const,
  );
  return JSON.stringify(briefTexts({ ...Object.fromEntries(files), ...clientFile(plan) }));
}

function clientFile({ agent, directories, drillsOnly }: HostPlan): Record<string, BriefFile> {
  if (!agent || drillsOnly) return {};
  return {
    [hostPaths(directories).client]: { mode: "0755", owner: "admin", text: loadArchiveClient(), secret: false },
  };
}

/** Keys, passphrases, targets of notifications, the receiver of metrics, and the password of the report. */
function closedFiles(args: PostgresHostArgs, plan: HostPlan, targets: Targets): Record<string, FileArgs> {
  const rights = hostEngine(plan).secretRights(plan).file;
  const closed = plan.repositories.flatMap(({ name }) => {
    const target = targets[name] ?? null;
    if (target === null) return [];
    const checked = withCheckedCipher(`PostgresHost ${plan.name}`, `repositories.${name}.at`, target);
    const files = secretFiles(plan, name, checked);
    return files.map(({ path, text }) => [path, { ...rights, text, secret: true }] as [string, FileArgs]);
  });
  const receivers = args.notify?.targets;
  const notify: [string, FileArgs][] =
    receivers === undefined
      ? []
      : [[notifyPath(plan), { ...rights, text: notifyText(`PostgresHost ${plan.name}`, receivers), secret: true }]];
  const { otlp } = args.monitoring ?? {};
  const text = otlp === undefined ? null : otlpText(`PostgresHost ${plan.name}`, otlp);
  const receiver: [string, FileArgs][] = text === null ? [] : [[otlpPath(plan), { ...rights, text, secret: true }]];
  const { reportPassword } = args.monitoring ?? {};
  const page: [string, FileArgs][] =
    reportPassword === undefined
      ? []
      : [[reportPasswordPath(plan), { ...rights, text: pulumi.secret(reportPassword), secret: true }]];
  return Object.fromEntries([...closed, ...notify, ...receiver, ...page]);
}

/** The arguments without secrets: a cipher is replaced by its existence, credentials are dropped. */
function openSettings(args: PostgresHostArgs): object {
  const repositories = Object.entries(args.repositories).map(([key, repository]) => [
    key,
    { ...repository, at: openTarget(repository.at) },
  ]);
  const { existingFile, targets } = args.notify ?? {};
  const open = targets?.map(({ events, type, units }) => ({ type, events, units }));
  const notify = args.notify === undefined ? {} : { notify: { existingFile, targets: open } };
  const { listen, otlp, reportPassword } = args.monitoring ?? {};
  const page = reportPassword === undefined ? {} : { servesReport: true };
  const sent = otlp === undefined ? {} : { otlp: given({ existingFile: otlp.existingFile }) };
  const monitoring = args.monitoring === undefined ? {} : { monitoring: { ...given({ listen }), ...page, ...sent } };
  return {
    ...args,
    ...notify,
    ...monitoring,
    connection: connectionKinds(args.connection),
    repositories: Object.fromEntries(repositories) as object,
  };
}
