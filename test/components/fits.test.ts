/** What one component gives, another takes without a cast. The compiler is the test: nothing here runs. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import type * as all from "../../components/index";

type ArgsOf<Component extends abstract new (...parts: never[]) => unknown> = NonNullable<
  ConstructorParameters<Component>[1]
>;

interface Parts {
  readonly b2: all.B2Repository;
  readonly sftp: all.SftpRepository;
  readonly vault: all.RepositoryHost;
  readonly host: all.PostgresHost;
  readonly cluster: all.CnpgCluster;
  readonly attached: all.CnpgBackup;
  readonly plugin: all.CnpgPlugin;
  readonly key: all.CipherPassphrase;
  readonly keys: all.RepositorySecret;
  readonly shared: all.SharedExternalSecret;
  readonly other: pulumi.StackReference;
}

function repositoriesFit({ b2, key, keys, other, sftp, shared, vault }: Parts): object {
  const targets: all.HostRepositoryArgs["at"][] = [
    b2.target,
    b2.readerTarget ?? b2.target,
    sftp.target,
    pulumi.output(b2.target),
    pulumi.secret(b2.target),
    Promise.resolve(b2.target),
    other.getOutput("target"),
    other.requireOutput("target"),
    pulumi.output(other.getOutput("targets")).apply((exported) => exported.orders),
    ...Object.values(vault.targets),
    ...Object.values(vault.readerTargets),
  ];
  const cipher: ArgsOf<typeof all.PosixRepository>["cipher"][] = [key.ref];
  const secrets: all.S3Location["existingSecret"][] = [keys.ref, ...Object.values(shared.refs)];
  const from: all.NewSecret["from"] = b2.target;
  return { targets, cipher, secrets, from };
}

function databasesFit({ attached, cluster, host, other, plugin }: Parts): object {
  const plugins: ArgsOf<typeof all.CnpgCluster>["plugin"] = plugin.ref;
  const names: ArgsOf<typeof all.CnpgBackup>["clusterName"][] = [cluster.clusterName, other.getOutput("name")];
  const stanzas: (pulumi.Input<string> | undefined)[] = [cluster.stanza, host.stanza, attached.stanza];
  const stanza: ArgsOf<typeof all.StandbyHost>["stanza"] = host.stanza;
  const source: ArgsOf<typeof all.CnpgRestore>["source"] = {
    ...cluster.source,
    stanza: cluster.stanza,
    target: { time: other.getOutput("time"), backup: other.getOutput("label") },
  };
  const like: all.ClusterLikeArgs = { ...cluster.like };
  const drilled: ArgsOf<typeof all.FireDrill>["of"][] = [host.drilled, cluster.drilled, attached.drilled];
  const topologies: ArgsOf<typeof all.Monitoring>["topologies"] = [host.topology, cluster.topology, attached.topology];
  const runbooks: ArgsOf<typeof all.Runbook>["topologies"] = topologies;
  return { plugins, names, stanzas, stanza, source, like, drilled, topologies, runbooks };
}

function actionsFit({ attached, cluster, host }: Parts): object {
  const onHost: ArgsOf<typeof all.BackupNow> = { host: host.access, triggers: [cluster.clusterName, host.stanza] };
  const inCluster: ArgsOf<typeof all.BackupNow>[] = [{ cluster: cluster.access }, { cluster: attached.access }];
  return { onHost, inCluster };
}

test("outputs of components are inputs of others", () => {
  expect([repositoriesFit, databasesFit, actionsFit].map((fits) => fits.length)).toEqual([1, 1, 1]);
});
