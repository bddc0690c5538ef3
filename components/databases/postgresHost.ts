/** PostgreSQL on a host (a VPS, a server, this machine) with its backups. */
import { hostPaths, shellArgument } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { withCheckedCipher } from "../credentials/checkedPassphrase";
import { claimHost } from "./sharedUse";
import { notifyText } from "../credentials/notifyFile";
import { secretFiles } from "../credentials/repositorySecretFiles";
import { type CipherArgs, type FileArgs, HostState, type HostStateArgs } from "../dynamic/hostState";
import { type BriefFile, briefFile, briefTexts } from "../host/briefFiles";
import { chooseNode, type NodeChoice, type NodeInput, type NodeSettings } from "../host/nodeChoice";
import { engineOf } from "../plan/engines/engines";
import { DEFAULTS } from "../plan/model/defaults";
import { childName, typeToken } from "../internal/children";
import {
  deferredPaths,
  fillKnown,
  fillText,
  type KnownPart,
  splitKnown,
  leaveOut,
  secretText,
  withoutSecrets,
} from "../internal/inputs";
import { loadArchiveClient, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { withoutStackTraces } from "../internal/stackTraces";
import { requireArguments, logInTwoSteps, throwErrors, withoutSecretValues } from "../internal/validate";
import type { HostPlan } from "../plan/model/plan";
import { resolveHost } from "../plan/model/resolveDatabase";
import type { HostSettings } from "../plan/model/databaseSettings";
import type { Finding } from "../plan/findings/findings";
import { given } from "../plan/model/given";
import { attempt, LateRead, merged, view } from "../plan/model/late";
import { checkHost } from "../plan/rules";
import { abstaining } from "../plan/rules/abstain";
import { renderTopology, topologyOf } from "../plan/topology/topology";
import { notifyPath, type RenderedFile } from "../render/host/renderedFile";
import { hostEngine } from "../render/engines/engineTable";
import { isDeferredTarget, type KnownTarget, knownTarget, openTarget } from "../repositories/common";
import type { RepositoryTarget } from "../repositories/target";
import { drilledDatabase, warnUndrilled } from "../drills/drilled";
import type { DrilledDatabase } from "../drills/drillArgs";
import { ClusterEngine, type RecoveryArgs } from "./cnpgArgs";
import type { HostAccess, PostgresHostArgs } from "./hostArgs";
import { connectionFindings, connectionInputs, connectionKinds, isRemote, secretConnection } from "./hostConnection";
import {
  cipherLocation,
  hostDesired,
  hostSettings,
  loadFile,
  renderDeferredFiles,
  renderPlainFiles,
} from "./hostFiles";

/**
 * Values that are inserted where they belong, so that a preview without them still shows the rest. Any other late value
 * may decide which files and units a host has: all of it waits for that.
 */
const INSERTED =
  /^(connection\..+|dataDirectory|databaseUser|port|socketDirectory|options\..+|repositories\.[^.]+\.(keep(Days|DiffCount|FullCount)|options\..+|at\.(path|s3\.(bucket|caFile|endpoint|existingSecret\..+|port|region)|sftp\..+)))$/;

/** Values without which nothing can be resolved. Any other late one is left out. */
const MARKED =
  /^(port|stanza|objectives\..+|monitoring\.listen|node\.(url|sha256)|drillChecks\..+|repositories\.[^.]+\.at|.+\.cron|acknowledge\.mode|notify\.targets\.\d+\.type|postgres\.version|sizing\.(databaseGiB|walGiBPerDay))$/;

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
 *   schedules: { full: { cron: "30 2 * * 0", timeZone: "Europe/Berlin" } },
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
  /** `taken`, `found` (every repository had one), `off` (also with `restoreOnly`), or `waiting` for the restart. */
  public readonly firstBackup: pulumi.Output<string>;
  /**
   * JSON text, which the last update or refresh read from the repositories: for each its newest full backup (label, end
   * time) and its newest WAL segment (name, storage time), or why it is unreadable.
   */
  public readonly destinations: pulumi.Output<string>;
  /** For the host that makes the drills declared as `elsewhere`: `new FireDrill("drills", { of: db.drilled, … })`. */
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
    requireArguments("PostgresHost", name, args, { others: { PostgresHostArgs: ["drillsOnly"] } });
    const { awaits, deferred, derive, input, known, settle, settledInput, warn } = checkedHost(name, args);
    const { restoreOnly } = known;
    const topology = awaits ? derive((plan) => topologyOf(plan)) : fillKnown(topologyOf(known), deferred);
    // It holds no copies: it is in no topology.
    super(typeToken("PostgresHost"), name, restoreOnly ? { restoreOnly } : { topology }, opts);
    warn(this);
    claimHost(
      { resource: this, title: `PostgresHost ${name}`, silence: known.silence },
      args.repositories,
      connectionInputs(args.connection).connection,
      derive((plan) => plan),
      {
        stanza: fillText(known.stanza, deferred),
        hasOwnCluster: args.postgres !== undefined,
        restoreOnly,
        drillsOnly: known.drillsOnly,
      },
    );

    const host = withoutStackTraces(() =>
      awaits
        ? this.createDeferredHost(name, args, derive, settledInput)
        : this.createHost(name, args, known, derive, input),
    );

    this.stanza = pulumi.output(settle((plan) => plan.stanza));
    this.topology = pulumi.output(derive((plan) => (plan.restoreOnly ? "" : renderTopology(topologyOf(plan)))));
    this.repositoryNames = pulumi.output(known.repositories.map((repository) => repository.name));
    this.restoreCommand = pulumi.output(
      settle((plan) => hostEngine(plan).restoreArgv(plan).map(shellArgument).join(" ")),
    );
    this.pendingRestart = host.status.pendingRestart;
    this.timersEnabled = host.status.timersEnabled;
    this.firstBackup = host.status.firstBackup;
    this.destinations = host.status.destinations;
    this.drilled = drilledDatabase(
      known,
      args,
      deferred,
      () => pulumi.output(derive((plan) => plan)) as pulumi.Output<HostPlan>,
      awaits,
    );
    warnUndrilled(this, this.drilled, known.silence);
    this.source = {
      stanza: fillText(known.stanza, deferred),
      engine: ClusterEngine.Runtime,
      repositories: args.repositories,
      ...given({ postgresVersion: args.postgres?.version }),
    };
    // Known in every preview, and available only once the host is as declared.
    this.access = {
      connection: secretConnection(args.connection),
      user: settle(({ agent, user }) => (agent ? "root" : user)),
      ...(engineOf(known.engine).stock ? {} : { databaseUser: settle(({ user }) => user) }),
      runtimeArgv: host.urn.apply(() => pulumi.output(settle((plan) => hostEngine(plan).verbArgv(plan)))),
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

  private createHost(
    name: string,
    args: PostgresHostArgs,
    known: HostPlan,
    derive: Derive,
    node: BroughtNode,
  ): HostState {
    return new HostState(
      childName(name, "host"),
      {
        settings: hostSettings(known),
        ...connectionInputs(args.connection),
        dataDirectory: derive((plan) => plan.dataDirectory),
        desired: derive((plan) => desiredText(plan, node)),
        ...hostFiles(args, known, derive),
        ciphers: ciphersOf(plainTargets(args), known, derive),
      },
      { parent: this },
    );
  }

  /** The same once every value is known: until then not even the files' names are. */
  private createDeferredHost(
    name: string,
    args: PostgresHostArgs,
    derive: Derive,
    node: pulumi.Output<BroughtNode>,
  ): HostState {
    const targets = knownTargets(args);
    const closed = pulumi
      .all([derive((plan) => plan), targets])
      .apply(([plan, known]) => pulumi.output(closedFiles(args, plan as HostPlan, known)));
    const ciphers = pulumi
      .all([derive((plan) => plan), targets])
      .apply(([plan, known]) => pulumi.output(ciphersOf(known, plan as HostPlan, (make) => make(plan as HostPlan))));
    return new HostState(
      childName(name, "host"),
      {
        settings: pulumi.output(derive(hostSettings)),
        ...connectionInputs(args.connection),
        dataDirectory: pulumi.output(derive(({ dataDirectory }) => dataDirectory)),
        desired: node.apply((brought) => pulumi.output(derive((plan) => desiredText(plan, brought)))),
        files: pulumi.output(derive(openFiles)),
        closedFiles: pulumi.secret(closed),
        ciphers: pulumi.secret(ciphers),
      },
      { parent: this },
    );
  }
}

/** Node.js to bring; null to bring none. */
type BroughtNode = NodeInput | null;

/** A host that is checked at once, and again when all values are known. */
interface CheckedHost {
  readonly known: HostPlan;
  readonly deferred: KnownPart<object>["deferred"];
  /** True if late values may decide which files and units the host has. */
  readonly awaits: boolean;
  readonly derive: Derive;
  /** For what only such values decide: immediate without them. */
  readonly settle: Derive;
  readonly input: BroughtNode;
  readonly settledInput: pulumi.Output<BroughtNode>;
  warn(resource: pulumi.Resource): void;
}

/** A host with some values, and what rules find. */
interface LookedHost {
  readonly input: BroughtNode;
  readonly plan: HostPlan;
  findings(): Finding[];
}

/** @throws InputPropertiesError */
function checkedHost(name: string, args: PostgresHostArgs): CheckedHost {
  const title = `PostgresHost ${name}`;
  const settings = openSettings(args);
  const part = splitKnown(settings);
  // A cluster is made with its port.
  const isAwaited = (path: string): boolean => !INSERTED.test(path) || (path === "port" && args.postgres !== undefined);
  const awaited = deferredPaths(part.value).filter(isAwaited);
  const isLeftOut = (path: string): boolean => isAwaited(path) && !MARKED.test(path);
  const reach = connectionFindings(args.connection);
  const look = (values: unknown): LookedHost => {
    const node = attempt(() => nodeFor(args, values));
    const isLate = node instanceof LateRead;
    const withPath = merged(values as HostSettings, isLate ? view({ nodePath: node.marker }) : {});
    const plan = resolveHost(name, withPath, isLate ? "" : node.path);
    const about = abstaining(() => {
      if (isLate) throw node;
      return node.findings;
    });
    return { input: isLate ? null : (node.input ?? null), plan, findings: () => checkHost(plan, [...about, ...reach]) };
  };
  const now = look(awaited.some(isLeftOut) ? leaveOut(part.value, isLeftOut) : part.value);
  const findings = (part.deferred.size === 0 ? now : look(view(part.value))).findings();
  throwErrors(title, findings);
  const check = (values: unknown, open: unknown): LookedHost & { readonly final: Finding[] } => {
    const all = look(values);
    const hidden = (): Finding[] => look(view(open)).findings();
    const final = withoutSecretValues(all.findings(), hidden);
    throwErrors(title, final);
    return { ...all, final };
  };
  const checked =
    part.deferred.size === 0
      ? null
      : pulumi.all([pulumi.output(settings), withoutSecrets(part)]).apply((parts) => check(...parts));
  const derive: Derive = (make) => (checked === null ? make(now.plan) : checked.apply(({ plan }) => make(plan)));
  const awaits = awaited.length > 0;
  return {
    known: now.plan,
    deferred: part.deferred,
    awaits,
    derive,
    settle: (make) => (awaits ? derive(make) : make(now.plan)),
    input: now.input,
    settledInput: pulumi.output(checked === null ? now.input : checked.apply(({ input }) => input)),
    warn: (resource) => logInTwoSteps(findings, checked?.apply(({ final }) => final) ?? null, resource),
  };
}

/** Default on this machine: the one that runs this program. */
function nodeFor(args: PostgresHostArgs, values: unknown): NodeChoice {
  if (!isRemote(args.connection) && args.node === undefined)
    return { path: (values as NodeSettings).nodePath ?? process.execPath, findings: [] };
  const { directories } = values as Pick<HostSettings, "directories">;
  return chooseNode(values as NodeSettings, directories?.lib ?? DEFAULTS.directories.lib);
}

/**
 * Values from the plan: immediate if all of it is known, since every output costs a preview a millisecond; otherwise
 * late.
 */
type Derive = <T>(make: (plan: HostPlan) => T) => T | pulumi.Output<T>;

/** Targets by the repositories' names; null for none. */
type Targets = Readonly<Record<string, RepositoryTarget | KnownTarget | null>>;

/** Those that are no output as a whole. */
function plainTargets({ repositories }: PostgresHostArgs): Targets {
  return Object.fromEntries(
    Object.entries(repositories).flatMap(([name, { at }]) => (isDeferredTarget(at) ? [] : [[name, at]])),
  );
}

function knownTargets({ repositories }: PostgresHostArgs): pulumi.Output<Readonly<Record<string, KnownTarget | null>>> {
  return pulumi.all(Object.fromEntries(Object.entries(repositories).map(([name, { at }]) => [name, knownTarget(at)])));
}

/** The passphrase of each location; empty for a repository without encryption. None for those in a file of the host. */
function ciphersOf(targets: Targets, known: HostPlan, derive: Derive): Record<string, CipherArgs> {
  const rows = known.repositories.flatMap(({ encrypted, name }): [string, CipherArgs][] => {
    const cipher = targets[name]?.cipher;
    // The passphrase is in a file of the host and unknown here; the earlier record of the location stays valid.
    if (cipher === undefined && encrypted) return [];
    const location = derive((plan) => cipherLocation(plan, name));
    return [[name, { location, passphrase: cipher === undefined ? "" : secretText(cipher.passphrase) }]];
  });
  return Object.fromEntries(rows);
}

function desiredText(plan: HostPlan, node: BroughtNode): string {
  return JSON.stringify(hostDesired(plan, runtimeBundleSha256(), node ?? undefined));
}

/** Paths, modes and owners are known at once; only texts may be late, and only texts are secret. */
function hostFiles(
  args: PostgresHostArgs,
  known: HostPlan,
  derive: Derive,
): Pick<HostStateArgs, "files" | "closedFiles"> {
  // Their texts are rendered when they are read, which only a plan of final values allows.
  const deferred = renderDeferredFiles(known).map(({ path, mode, owner }) => {
    const text = derive((plan) => loadFile(renderDeferredFiles(plan), path).text);
    return { path, mode, owner, text };
  });
  const closed = deferred.filter(({ text }) => typeof text !== "string");
  const open = deferred.flatMap(({ text, ...file }) => (typeof text === "string" ? [{ ...file, text }] : []));
  return {
    files: filesText(known, [...renderPlainFiles(known), ...open]),
    closedFiles: {
      ...Object.fromEntries(closed.map(({ path, ...file }) => [path, briefFile({ ...file, secret: false })])),
      ...closedFiles(args, known, plainTargets(args)),
    },
  };
}

/** Those without secrets, of a plan whose values are all known. */
function openFiles(plan: HostPlan): string {
  return filesText(plan, [...renderPlainFiles(plan), ...renderDeferredFiles(plan)]);
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

/** Keys, passphrases and targets of notifications. */
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
    receivers === undefined ? [] : [[notifyPath(plan), { ...rights, text: notifyText(receivers), secret: true }]];
  return Object.fromEntries([...closed, ...notify]);
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
  return {
    ...args,
    ...notify,
    connection: connectionKinds(args.connection),
    repositories: Object.fromEntries(repositories) as object,
  };
}
