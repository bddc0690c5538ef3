/** What databases and plugins of one program may not share: archives, archivers, directories, operators. */
import * as pulumi from "@pulumi/pulumi";
import { hasLauncher, launcherPath } from "../plan/host/hostCommand";
import { unitsOf } from "../render/host/hostParts";
import { claim, type Use } from "../plan/findings/claims";
import {
  type ArchiveRole,
  archiverUse,
  archiveUse,
  archiveUses,
  inRole,
  keyOf,
} from "../plan/repositories/archiveUses";
import { claimsOfProgram, judgeWhenKnown } from "../internal/programClaims";
import { logWarnings, throwErrors } from "../internal/validate";
import type { DatabasePlan, HostPlan } from "../plan/model/plan";
import { withoutSilenced } from "../plan/rules/silence";
import type { SshInput } from "../host/ssh/sshTarget";
import type { ConnectionInput } from "../dynamic/reach";
import { isDeferredTarget } from "../repositories/common";
import type { RepositoryTarget } from "../repositories/target";

/** Targets by the repositories' keys. */
type Targets = { readonly [key: string]: { readonly at: pulumi.Input<RepositoryTarget> } };

/** A component whose uses are judged as soon as the values are known. */
interface User {
  readonly resource: pulumi.Resource;
  readonly title: string;
  readonly silence?: DatabasePlan["silence"];
}

/** Uses of a host: its data directory, its files, and the archives that it writes. */
export function claimHost(
  user: User,
  targets: Targets,
  connection: pulumi.Input<ConnectionInput>,
  plan: pulumi.Input<unknown>,
  { stanza, hasOwnCluster, restoreOnly, drillsOnly }: HostUse,
): void {
  const machine = pulumi.output(connection).apply((known) => machineOf(known as ConnectionInput));
  claimWhenKnown(user, pulumi.all([machine, plan]), ([on, known]) => [
    ...(drillsOnly ? [] : [directoryUse(on, known as HostPlan)]),
    ...fileUses(on, known as HostPlan),
  ]);
  if (restoreOnly) return;
  const memberOf = (on: string): Use["member"] => {
    const remedy = "silence it for members of one PostgreSQL cluster; else give each its own stanza, path or bucket";
    return hasOwnCluster ? undefined : { machine: on, code: "PB199", remedy };
  };
  claimWhenKnown(user, pulumi.all([machine, stanza]), ([on, known]) => targetUses(targets, known, memberOf(on)));
  claimWhenKnown(user, pulumi.all([machine, plan]), ([on, known]) => archiveUses(known as HostPlan, on, memberOf(on)));
}

interface HostUse {
  readonly stanza: pulumi.Input<string>;
  /** True if the program makes the host's PostgreSQL, which then is no member of another one's. */
  readonly hasOwnCluster: boolean;
  readonly restoreOnly: boolean;
  readonly drillsOnly: boolean;
}

/** Uses of a host that stores repositories: its accounts are in one part of sshd's configuration. */
export function claimRepositoryHost(user: User, connection: pulumi.Input<ConnectionInput>): void {
  const machine = pulumi.output(connection).apply((known) => machineOf(known as ConnectionInput));
  claimWhenKnown(user, machine, (on) => [
    {
      key: keyOf("sshd", on),
      path: "connection",
      code: "PB203",
      what: "sshd's configuration of this host",
      remedy: "declare all clients of a host in one RepositoryHost",
    },
  ]);
}

/** Uses of a cluster that archives: its archiver, and the archives that it writes. */
export function claimCluster(
  user: User,
  targets: Targets,
  plan: pulumi.Output<DatabasePlan>,
  { cluster, namespace, role, stanza }: ClusterUse,
): void {
  if (Object.keys(targets).length === 0) return;
  const location = pulumi.all([kubernetesOf(user.resource), namespace]);
  claimWhenKnown(user, pulumi.all([location, cluster]), ([at, name]) => [archiverUse("clusterName", [...at, name])]);
  if (role === "follows") return;
  const claimArchives = <T>(values: pulumi.Output<T>, usesOf: (known: T) => readonly Use[]): void =>
    claimWhenKnown(user, pulumi.all([values, role]), ([known, own]) => inRole(own, usesOf(known as T)));
  claimArchives(pulumi.output(stanza), (known) => targetUses(targets, known, undefined));
  claimArchives(pulumi.all([location, plan]), ([at, known]) =>
    archiveUses(known as DatabasePlan, keyOf(...at), undefined),
  );
}

interface ClusterUse {
  readonly cluster: pulumi.Input<string>;
  readonly namespace: pulumi.Input<string>;
  readonly stanza: pulumi.Input<string>;
  readonly role: pulumi.Input<ArchiveRole>;
}

/** The operator that a plugin serves. */
export function claimOperator(user: User, namespace: pulumi.Input<string>, plugin: string): void {
  claimWhenKnown(user, pulumi.all([kubernetesOf(user.resource), namespace]), (at) => [
    {
      key: keyOf("plugin", ...at, plugin),
      path: "operatorNamespace",
      code: "PB197",
      what: `the operator for the plugin ${plugin}`,
      remedy: "one plugin serves every cluster of an operator: keep one of the two",
    },
  ]);
}

/** A value that no preview knows yet is judged by the update. */
function claimWhenKnown<T>(
  { resource, silence = {}, title }: User,
  values: pulumi.Output<T>,
  usesOf: (known: T) => readonly Use[],
): void {
  const claims = claimsOfProgram();
  if (claims === null) return;
  judgeWhenKnown(values, (known) => {
    const findings = withoutSilenced({ silence }, claim(claims, resource, title, usesOf(known)));
    throwErrors(title, findings);
    logWarnings(findings, resource);
  });
}

function directoryUse(machine: string, { container, dataDirectory }: HostPlan): Use {
  return {
    key: keyOf("directory", machine, dataDirectory, ...(container === undefined ? [] : [JSON.stringify(container)])),
    path: "dataDirectory",
    code: "PB198",
    what: "this directory of the host",
    remedy: "declare each database of a host once",
  };
}

/** What an update writes under names of which a host has one each. */
function fileUses(machine: string, plan: HostPlan): Use[] {
  const { config, lib, units } = plan.directories;
  const use = (path: string, file: string, remedy: string): Use => ({
    key: keyOf("file", machine, file),
    path,
    code: "PB203",
    what: `${file} of the host`,
    remedy,
  });
  const own = "give each host of a machine its own `directories`";
  return [
    use("directories.config", config, own),
    use("directories.lib", lib, own),
    ...(hasLauncher(plan) ? [use("directories.bin", launcherPath(plan), own)] : []),
    ...unitsOf(plan).map(({ name }) => use("stanza", `${units}/${name}`, "give each its own stanza, or its own units")),
  ];
}

/** Uses by the target itself, whose address may come later. A directory is another one on each machine. */
function targetUses(targets: Targets, stanza: string, member: Use["member"]): Use[] {
  return Object.entries(targets).flatMap(([key, { at }]): Use[] => {
    if (isDeferredTarget(at) || at.readOnly === true || (at.s3 === undefined && at.sftp === undefined)) return [];
    return [archiveUse(key, keyOf("target", identityOf(at), stanza), member)];
  });
}

/** The same address behind another jump host is another machine, and so is another port behind one address. */
function machineOf({ ssh }: ConnectionInput): string {
  const addresses = (route: SshInput | undefined): string[] =>
    route === undefined ? [] : [`${route.host}:${route.port}`, ...addresses(route.jump)];
  return keyOf("machine", ...addresses(ssh));
}

/** The Kubernetes cluster: its provider, empty for the default one. */
function kubernetesOf(resource: pulumi.Resource): pulumi.Output<string> {
  return pulumi.output(resource.getProvider("kubernetes:core/v1:Secret")?.urn ?? "");
}

const identities = new WeakMap<object, string>();
let identitiesMade = 0;

function identityOf(target: object): string {
  const known = identities.get(target) ?? String(++identitiesMade);
  identities.set(target, known);
  return known;
}
