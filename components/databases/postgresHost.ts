/** PostgreSQL on a host (a VPS, a server, this machine) with its backups. */
import { hostPaths, shellArgument } from "../plan/host/hostCommand";
import * as pulumi from "@pulumi/pulumi";
import { notifyText } from "../credentials/notifyFile";
import { secretFiles } from "../credentials/repositorySecretFiles";
import { type CipherArgs, type FileArgs, HostState } from "../dynamic/hostState";
import { chooseNode, type NodeChoice, type NodeInput } from "../host/nodeChoice";
import { engineOf } from "../plan/engines/engines";
import { DEFAULTS } from "../plan/model/defaults";
import { childName, typeToken } from "../internal/children";
import { fillKnown, splitKnown, withoutSecrets } from "../internal/inputs";
import { loadArchiveClient, runtimeBundleSha256 } from "../internal/runtimeBundle";
import { logWarnings, throwErrors, withoutSecretValues } from "../internal/validate";
import type { HostPlan } from "../plan/model/plan";
import { resolveHost } from "../plan/model/resolveDatabase";
import type { HostSettings } from "../plan/model/databaseSettings";
import { type Finding, findingText } from "../plan/findings/findings";
import { checkHost } from "../plan/rules";
import { renderTopology, topologyOf } from "../plan/topology/topology";
import { notifyPath } from "../render/host/renderedFile";
import { hostEngine } from "../render/engines/engineTable";
import { targetSettings } from "../repositories/common";
import { drilledDatabase, warnUndrilled } from "../drills/drilled";
import type { DrilledDatabase } from "../drills/drillArgs";
import type { HostAccess, PostgresHostArgs } from "./hostArgs";
import { connectionFindings, connectionInputs, connectionKinds, isRemote, secretConnection } from "./hostConnection";
import {
  cipherLocation,
  deferredInputs,
  loadFile,
  plainInputs,
  renderDeferredFiles,
  renderPlainFiles,
} from "./hostFiles";

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
  /** For one-shot actions: `new BackupNow("now", { host: db.access })`. */
  public readonly access: HostAccess;

  constructor(name: string, args: PostgresHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const settings = openSettings(args);
    const { value, deferred } = splitKnown(settings);
    const node = nodeFor(args);
    const resolve = (values: unknown): HostPlan => resolveHost(name, values as HostSettings, node.path);
    const known = resolve(value);
    const reach = connectionFindings(args.connection);
    const findings = [...node.findings, ...checkHost(known, reach)];
    throwErrors(`PostgresHost ${name}`, findings);
    const check = (values: unknown, open: unknown): { resolved: HostPlan; final: Finding[] } => {
      const resolved = resolve(values);
      const final = withoutSecretValues(checkHost(resolved, reach), () => checkHost(resolve(open), reach));
      throwErrors(`PostgresHost ${name}`, final);
      return { resolved, final };
    };
    const checked =
      deferred.size === 0
        ? null
        : pulumi.all([pulumi.output(settings), withoutSecrets({ value, deferred })]).apply((parts) => check(...parts));
    const derive: Derive = (make) => (checked === null ? make(known) : checked.apply(({ resolved }) => make(resolved)));
    const { restoreOnly } = known;
    // It holds no copies: it is in no topology.
    super(
      typeToken("PostgresHost"),
      name,
      restoreOnly ? { restoreOnly } : { topology: fillKnown(topologyOf(known), deferred) },
      opts,
    );
    logWarnings(findings, this);
    const logged = new Set(findings.map(findingText));
    checked?.apply(({ final }) =>
      logWarnings(
        final.filter((finding) => !logged.has(findingText(finding))),
        this,
      ),
    );

    const host = this.createHost(name, args, known, derive, node.input);

    this.stanza = pulumi.output(known.stanza);
    this.topology = pulumi.output(derive((plan) => (plan.restoreOnly ? "" : renderTopology(topologyOf(plan)))));
    this.repositoryNames = pulumi.output(known.repositories.map((repository) => repository.name));
    const engine = hostEngine(known);
    this.restoreCommand = pulumi.output(engine.restoreArgv(known).map(shellArgument).join(" "));
    this.pendingRestart = host.status.pendingRestart;
    this.timersEnabled = host.status.timersEnabled;
    this.firstBackup = host.status.firstBackup;
    this.destinations = host.status.destinations;
    this.drilled = drilledDatabase(known, args);
    warnUndrilled(this, this.drilled, known.silence);
    // Known in every preview, and available only once the host is as declared.
    this.access = {
      connection: secretConnection(args.connection),
      user: known.agent ? "root" : known.user,
      ...(engineOf(known.engine).stock ? {} : { databaseUser: known.user }),
      runtimeArgv: host.urn.apply(() => engine.verbArgv(known)),
    };
    this.registerOutputs({
      stanza: this.stanza,
      topology: this.topology,
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
    node: NodeInput | undefined,
  ): HostState {
    const plain = plainInputs(known, runtimeBundleSha256(), node);
    return new HostState(
      childName(name, "host"),
      {
        ...plain,
        ...connectionInputs(args.connection),
        dataDirectory: derive((plan) => deferredInputs(plan).dataDirectory),
        desired: {
          ...plain.desired,
          directories: {
            ...plain.desired.directories,
            keep: derive((plan) => [...deferredInputs(plan).keep]),
            mounts: derive((plan) => [...deferredInputs(plan).mounts]),
          },
        },
        files: hostFiles(args, known, derive),
        ciphers: ciphersOf(args, known, derive),
      },
      { parent: this },
    );
  }
}

/** Default on this machine: the one that runs this program. */
function nodeFor(args: PostgresHostArgs): NodeChoice {
  if (!isRemote(args.connection) && args.node === undefined)
    return { path: args.nodePath ?? process.execPath, findings: [] };
  return chooseNode(args, args.directories?.lib ?? DEFAULTS.directories.lib);
}

/**
 * Values from the plan: immediate if all of it is known, since every output costs a preview a millisecond; otherwise
 * late.
 */
type Derive = <T>(make: (plan: HostPlan) => T) => T | pulumi.Output<T>;

/** The passphrase of each location; empty for a repository without encryption. None for those in a file of the host. */
function ciphersOf(args: PostgresHostArgs, known: HostPlan, derive: Derive): Record<string, CipherArgs> {
  const rows = known.repositories.flatMap(({ encrypted, name }): [string, CipherArgs][] => {
    const cipher = args.repositories[name]?.at.cipher;
    // The passphrase is in a file of the host and unknown here; the earlier record of the location stays valid.
    if (cipher === undefined && encrypted) return [];
    const location = derive((plan) => cipherLocation(plan, name));
    return [[name, { location, passphrase: cipher === undefined ? "" : pulumi.secret(cipher.passphrase) }]];
  });
  return Object.fromEntries(rows);
}

/** Paths, modes and owners are known at once; only texts may be late, and only texts are secret. */
function hostFiles(args: PostgresHostArgs, known: HostPlan, derive: Derive): Record<string, FileArgs> {
  const plain = renderPlainFiles(known).map(
    ({ path, mode, owner, text }) => [path, { mode, owner, text, secret: false }] as [string, FileArgs],
  );
  const deferred = renderDeferredFiles(known).map(({ path, mode, owner }) => {
    const text = derive((plan) => loadFile(renderDeferredFiles(plan), path).text);
    return [path, { mode, owner, text, secret: false }] as [string, FileArgs];
  });
  const rights = hostEngine(known).secretRights(known).file;
  const closed = known.repositories.flatMap((repository) => {
    const target = args.repositories[repository.name]?.at;
    const files = target === undefined ? [] : secretFiles(known, repository.name, target);
    return files.map(({ path, text }) => [path, { ...rights, text, secret: true }] as [string, FileArgs]);
  });
  const targets = args.notify?.targets;
  const notify: [string, FileArgs][] =
    targets === undefined ? [] : [[notifyPath(known), { ...rights, text: notifyText(targets), secret: true }]];
  const asksAgent = known.agent && !known.drillsOnly;
  const client: [string, FileArgs] = [
    hostPaths(known.directories).client,
    { mode: "0755", owner: "admin", text: asksAgent ? loadArchiveClient() : "", secret: false },
  ];
  return Object.fromEntries([...plain, ...deferred, ...(asksAgent ? [client] : []), ...closed, ...notify]);
}

/** The arguments without secrets: a cipher is replaced by its existence, credentials are dropped. */
function openSettings(args: PostgresHostArgs): object {
  const repositories = Object.entries(args.repositories).map(([key, repository]) => [
    key,
    { ...repository, at: targetSettings(repository.at) },
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
