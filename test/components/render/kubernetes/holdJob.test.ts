/** The Job of a hold: the cluster's repositories, no notices, and no rights. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { BackupHold, type BackupHoldArgs } from "../../../../components/actions/backupHold";
import type { ClusterAccess } from "../../../../components/databases/cnpgArgs";
import { loadConfig } from "../../../../runtime/config/load";
import { holdJob } from "../../../../components/render/kubernetes/holdJob";
import type { KubernetesObject } from "../../../harness/kubernetes/kubectl";
import { renderedObjects } from "../../../harness/kubernetes/rendered";
import { context, declaredCluster } from "../../clusters";

const ACCESS: ClusterAccess = {
  namespace: "db",
  clusterName: pulumi.output("orders"),
  backups: {},
  verbs: {
    args: [],
    volumeMounts: [],
    volumes: [],
    drills: {},
    hold: holdJob(context(declaredCluster({ notifySecret: "whom" }))),
  },
};
const HOLD = { backup: "20261231-020000F", reason: "audit 'of' 2026" };

interface Job extends KubernetesObject {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly automountServiceAccountToken: boolean;
        readonly containers: readonly [{ readonly args: readonly string[] }];
      };
    };
  };
}

async function jobOf(args: Partial<BackupHoldArgs> = {}): Promise<Job> {
  const [job] = await renderedObjects(() => void new BackupHold("audit", { cluster: ACCESS, ...HOLD, ...args }));
  return (job ?? expect.fail("there is no Job")) as Job;
}

// claim: docs/retention.md: `BackupHold` of a…
test("it runs the verb with the cluster's repositories, and calls nobody", async () => {
  const { metadata, spec } = await jobOf({ until: "2027-12-31" });
  expect(metadata.name).toMatch(/^orders-audit-[0-9a-f]{8}$/);
  const { automountServiceAccountToken, containers } = spec.template.spec;
  expect(automountServiceAccountToken).toBe(false);
  const [{ args }] = containers;
  const verb = args.indexOf("hold");
  expect(args.slice(verb)).toEqual(["hold", `--set=${HOLD.backup}`, `--reason=${HOLD.reason}`, "--until=2027-12-31"]);
  expect(args.filter((each) => each.startsWith("--notify-file"))).toEqual([]);
  // The command line that the program accepts.
  const text = "[global]\nrepo1-path=/repo\n[orders]\npg1-path=/pg\n";
  const { config } = loadConfig({
    argv: args,
    env: {},
    readFile: (path) => (path.endsWith("pgbackrest.conf") ? text : null),
    listDirectory: () => [],
  });
  expect(config).toMatchObject({ command: "hold", set: HOLD.backup, lockPath: "/pgbackstop/run/lock" });
});

test("another reason is another Job", async () => {
  const one = await jobOf();
  expect((await jobOf()).metadata.name).toBe(one.metadata.name);
  expect((await jobOf({ reason: "another" })).metadata.name).not.toBe(one.metadata.name);
});

test.each([
  ["neither", {}, "give the access of either a host or a cluster"],
  [
    "an engine without holds",
    { cluster: { namespace: "db", clusterName: "orders", backups: {} } },
    "cannot hold backups",
  ],
])("refuses %s", async (_, database, message) => {
  await expect(renderedObjects(() => void new BackupHold("audit", { ...HOLD, ...database }))).rejects.toThrow(message);
});
