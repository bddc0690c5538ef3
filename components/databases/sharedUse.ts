/** What databases and plugins of one program may not share: archives, archivers, directories, operators. */
import * as pulumi from "@pulumi/pulumi";
import { hasLauncher, launcherPath } from "../plan/host/hostCommand";
import { unitsOf } from "../render/host/hostParts";
import { claim, type Claims, type Use } from "../plan/findings/claims";
import type { Finding } from "../plan/findings/findings";
import {
  type ArchiveRole,
  archiverUse,
  archiveUse,
  archiveUses,
  inRole,
  keyOf,
} from "../plan/repositories/archiveUses";
import { isDeferredInput, knownNow } from "../internal/inputs";
import { claimsOfProgram, judgeWhenKnown } from "../internal/programClaims";
import { logWarnings, throwErrors } from "../internal/validate";
import type { ClusterPlan } from "../plan/cluster/clusterPlan";
import { attempt, DeferredRead, readOr } from "../plan/model/deferred";
import type { DatabasePlan, HostPlan } from "../plan/model/plan";
import { withoutSilenced } from "../plan/rules/silence";
import type { SshInput } from "../host/ssh/sshTarget";
import type { ConnectionInput } from "../dynamic/reach";
import type { RepositoryTarget } from "../repositories/target";
import type { CheckedCluster } from "./clusterParts";
import type { PostgresHostArgs } from "./hostArgs";
import { connectionInputs, routeNow } from "./hostConnection";

type Targets = { readonly [key: string]: { readonly at: pulumi.Input<RepositoryTarget> } };

/** Uses that are judged together. */
interface Part {
  /**
   * Those that are known while the program declares.
   * @param resource null before it is registered: its provider is not known then
   */
  now(resource: pulumi.Resource | null): readonly Use[];
  /** All of them, once they are known. */
  deferred(resource: pulumi.Resource, judge: (uses: readonly Use[]) => void): void;
}

/** What one component uses. Others of the program may not use it too. */
export class SharedUses {
  readonly #title: string;
  readonly #silence: DatabasePlan["silence"];
  readonly #parts: readonly Part[];

  constructor(title: string, silence: DatabasePlan["silence"], parts: readonly Part[]) {
    this.#title = title;
    this.#silence = silence;
    this.#parts = parts;
  }

  /**
   * Refuses an update by what is known already. Call it before the component is registered: an update without a preview
   * creates whatever is declared before it fails. A preview creates nothing, and shows the findings of all components.
   * @throws InputPropertiesError
   */
  refuse(resource: pulumi.Resource | null = null): void {
    const claims = claimsOfProgram();
    if (claims === null || pulumi.runtime.isDryRun()) return;
    throwErrors(this.#title, this.#claim(claims, knownUses(this.#parts.map((part) => () => part.now(resource)))));
  }

  /**
   * Judges everything as soon as it is known. A value that no preview knows is judged by the update.
   * @throws InputPropertiesError by what is known with the component's provider
   */
  judge(resource: pulumi.Resource): void {
    this.refuse(resource);
    const claims = claimsOfProgram();
    if (claims === null) return;
    for (const part of this.#parts)
      part.deferred(resource, (uses) => {
        const findings = this.#claim(claims, uses);
        throwErrors(this.#title, findings);
        logWarnings(findings, resource);
      });
  }

  #claim(claims: Claims, uses: readonly Use[]): Finding[] {
    return withoutSilenced({ silence: this.#silence }, claim(claims, this, this.#title, uses));
  }
}

/** Uses of a host: its data directory, its files, and the archives that it writes. */
export function sharedByHost(
  title: string,
  { connection, repositories }: Pick<PostgresHostArgs, "connection" | "repositories">,
  { derived, hasOwnCluster, known, stanza }: HostUse,
): SharedUses {
  const { drillsOnly, restoreOnly, silence } = known;
  const machineNow = (): string => machineOf(routeNow(connection));
  const given = attempt(machineNow);
  const machine = given instanceof DeferredRead ? deferredMachine(connection) : given;
  const partOf = (...uses: readonly ((plan: HostPlan, on: () => string) => readonly Use[])[]): Part => ({
    now: () => knownUses(uses.map((usesOf) => () => usesOf(known, machineNow))),
    deferred: (_resource, judge) =>
      judgeWhenKnown(bothOf(machine, derived), ([on, plan]) =>
        judge(uses.flatMap((usesOf) => usesOf(plan as HostPlan, () => on))),
      ),
  });
  const files = partOf((plan, on) => (drillsOnly ? [] : [directoryUse(on(), plan)]), fileUses, unitUses);
  if (restoreOnly) return new SharedUses(title, silence, [files]);
  const remedy = "silence it for members of one PostgreSQL cluster; else give each its own stanza, path or bucket";
  const memberOf = (on: () => string): Use["member"] =>
    hasOwnCluster ? undefined : { machine: on(), code: "PB199", remedy };
  return new SharedUses(title, silence, [
    files,
    {
      now: () => targetUses(repositories, known.stanza, () => memberOf(machineNow)),
      // Not after the whole plan: a preview does not know a bucket that the update creates.
      deferred: (_resource, judge) =>
        judgeWhenKnown(bothOf(machine, stanza), ([on, text]) =>
          judge(targetUses(repositories, text, () => memberOf(() => on))),
        ),
    },
    partOf((plan, on) => archiveUses(plan, on, () => memberOf(on))),
  ]);
}

function deferredMachine(connection: PostgresHostArgs["connection"]): pulumi.Output<string> {
  return pulumi.output(connectionInputs(connection).connection).apply(machineOf);
}

/** As they are if both are known: an output copies all of a plan. */
function bothOf<A, B>(first: pulumi.Input<A>, second: pulumi.Input<B>): pulumi.Output<[A, B]> | (() => [A, B]) {
  return isDeferredInput(first) || isDeferredInput(second)
    ? (pulumi.all([first, second]) as pulumi.Output<unknown> as pulumi.Output<[A, B]>)
    : () => [first, second];
}

interface HostUse {
  /** Reading a deferred value ends what reads it. */
  readonly known: HostPlan;
  readonly stanza: pulumi.Input<string>;
  /** The plan with all values. */
  readonly derived: pulumi.Input<unknown>;
  /** True if the program makes the host's PostgreSQL, which then is no member of another one's. */
  readonly hasOwnCluster: boolean;
}

/** Uses of a host that stores repositories: its accounts are in one part of sshd's configuration. */
export function sharedByRepositoryHost(
  title: string,
  given: PostgresHostArgs["connection"],
  connection: pulumi.Input<ConnectionInput>,
): SharedUses {
  const usesOf = (on: string): Use[] => [
    {
      key: keyOf("sshd", on),
      path: "connection",
      code: "PB203",
      what: "sshd's configuration of this host",
      remedy: "declare all clients of a host in one RepositoryHost",
    },
  ];
  const machine = pulumi.output(connection).apply((known) => machineOf(known as ConnectionInput));
  return new SharedUses(title, {}, [
    {
      now: () => usesOf(machineOf(routeNow(given))),
      deferred: (_resource, judge) => judgeWhenKnown(machine, (on) => judge(usesOf(on))),
    },
  ]);
}

/** Uses of a cluster that archives: its archiver, and the archives that it writes. */
export function sharedByCluster(
  title: string,
  targets: Targets,
  { derive, known, resolved }: CheckedCluster,
  role: pulumi.Input<ArchiveRole>,
): SharedUses {
  const silence = {};
  if (Object.keys(targets).length === 0) return new SharedUses(title, silence, []);
  const locationOf = (kubernetes: string, { database }: ClusterPlan): string[] => [kubernetes, database.namespace];
  const archiverOf = (location: readonly string[], cluster: string): Use[] => [
    archiverUse("clusterName", [...location, cluster]),
  ];
  const archiver: Part = {
    now: (resource) => archiverOf(locationOf(kubernetesNow(resource), known), known.database.cluster),
    deferred: (resource, judge) => {
      const names = [derive(({ database }) => database.namespace), derive(({ database }) => database.cluster)] as const;
      judgeWhenKnown(pulumi.all([kubernetesOf(resource), ...names]), ([kubernetes, namespace, cluster]) =>
        judge(archiverOf([kubernetes, namespace], cluster)),
      );
    },
  };
  const ownRole = (): ArchiveRole => knownNow({ role }).role;
  const byTarget: Part = {
    now: () => inRole(ownRole(), targetUses(targets, known.database.stanza)),
    deferred: (_resource, judge) => {
      const stanza = derive(({ database }) => database.stanza);
      judgeWhenKnown(pulumi.all([stanza, role]), ([text, own]) => judge(inRole(own, targetUses(targets, text))));
    },
  };
  const byLocation: Part = {
    now: (resource) =>
      inRole(
        ownRole(),
        archiveUses(known.database, () => keyOf(...locationOf(kubernetesNow(resource), known))),
      ),
    deferred: (resource, judge) =>
      judgeWhenKnown(pulumi.all([kubernetesOf(resource), resolved, role]), ([kubernetes, plan, own]) => {
        const location = keyOf(...locationOf(kubernetes, plan));
        judge(
          inRole(
            own,
            archiveUses((plan as ClusterPlan).database, () => location),
          ),
        );
      }),
  };
  return new SharedUses(title, silence, [archiver, byTarget, byLocation]);
}

/** The operator that a plugin serves. */
export function sharedByPlugin(title: string, namespace: pulumi.Input<string>, plugin: string): SharedUses {
  const usesOf = (...location: readonly string[]): Use[] => [
    {
      key: keyOf("plugin", ...location, plugin),
      path: "operatorNamespace",
      code: "PB197",
      what: `the operator for the plugin ${plugin}`,
      remedy: "one plugin serves every cluster of an operator: keep one of the two",
    },
  ];
  return new SharedUses(title, {}, [
    {
      now: (resource) => usesOf(kubernetesNow(resource), knownNow({ namespace }).namespace),
      deferred: (resource, judge) =>
        judgeWhenKnown(pulumi.all([kubernetesOf(resource), namespace]), (location) => judge(usesOf(...location))),
    },
  ]);
}

/** Without those that read a deferred value. */
function knownUses(makers: readonly (() => readonly Use[])[]): Use[] {
  return makers.flatMap((make) => readOr(make, []));
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
function fileUses(plan: HostPlan, on: () => string): Use[] {
  const { config, lib } = plan.directories;
  const own = "give each host of a machine its own `directories`";
  return [
    fileUse(on(), "directories.config", config, own),
    fileUse(on(), "directories.lib", lib, own),
    ...(hasLauncher(plan) ? [fileUse(on(), "directories.bin", launcherPath(plan), own)] : []),
  ];
}

function unitUses(plan: HostPlan, on: () => string): Use[] {
  const { units } = plan.directories;
  const own = "give each its own stanza, or its own units";
  return unitsOf(plan).map(({ name }) => fileUse(on(), "stanza", `${units}/${name}`, own));
}

function fileUse(machine: string, path: string, file: string, remedy: string): Use {
  return { key: keyOf("file", machine, file), path, code: "PB203", what: `${file} of the host`, remedy };
}

/** Uses by the target itself, whose address may come later. A directory is another one on each machine. */
function targetUses(targets: Targets, stanza: string, memberOf: () => Use["member"] = () => undefined): Use[] {
  return Object.entries(targets).flatMap(([key, { at }]): Use[] => {
    if (isDeferredInput(at) || at.readOnly === true) return [];
    if ([at.azure, at.gcs, at.s3, at.sftp].every((store) => store === undefined)) return [];
    return [archiveUse(key, keyOf("target", identityOf(at), stanza), memberOf())];
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
  return pulumi.output(providerOf(resource)?.urn ?? "");
}

/**
 * The same before the provider's URN is known: by the provider's object.
 * @throws DeferredRead before the resource is registered
 */
function kubernetesNow(resource: pulumi.Resource | null): string {
  if (resource === null) throw new DeferredRead("the provider");
  const provider = providerOf(resource);
  return provider === undefined ? "" : keyOf("provider", identityOf(provider));
}

function providerOf(resource: pulumi.Resource): pulumi.ProviderResource | undefined {
  return resource.getProvider("kubernetes:core/v1:Secret");
}

const identities = new WeakMap<object, string>();
let identitiesMade = 0;

function identityOf(target: object): string {
  const known = identities.get(target) ?? String(++identitiesMade);
  identities.set(target, known);
  return known;
}
