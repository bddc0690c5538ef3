/** A backup as part of an update: its declaration, and an update that fails with the Backup. */
import { expect, test } from "vitest";
import { BackupNow } from "../../../components/actions/backupNow";
import { backupEndCreate, backupEndDiff, type BackupEndInputs } from "../../../components/dynamic/clusterBackup";
import { type Declared, declaredBy } from "../declaredResources";

/** Declares backups whose Backup objects all end with `status`. Returns the declarations and the label. */
async function declared(
  status: object,
  specs: readonly object[] = [{ cluster: { name: "orders" } }],
): Promise<{ made: Declared[]; label: string | null }> {
  let label: string | null = null;
  const cluster = { namespace: "db", clusterName: "orders", backups: { full: specs.map((spec) => ({ ...spec })) } };
  const made = await declaredBy(
    () => new BackupNow("before", { cluster, triggers: ["v2"] }).label.apply((text) => (label = text)),
    ({ inputs, name, type }) => {
      if (!type.endsWith(":Backup")) return { label: inputs["backupId"] };
      const { metadata = {} } = inputs as { metadata?: object };
      return { metadata: { ...metadata, uid: `uid of ${name}` }, status };
    },
  );
  return { made, label };
}

test("one repository of a cluster, a snapshot, and another instance, or an error that names the way out", () => {
  const full = [{ target: "primary", of: "all" }];
  const cluster = {
    namespace: "db",
    clusterName: "orders",
    backups: { full },
    repositoryBackups: { repo1: { full: [{ of: "repo1" }] }, repo2: { full: [{ of: "repo2" }] } },
  };
  const refused =
    (args: object): (() => BackupNow) =>
    () =>
      new BackupNow("before", { cluster, ...args });
  expect(refused({ repositories: ["repo3"] })).toThrow('"repo3" is not a repository of the cluster: repo1, repo2');
  expect(refused({ type: "snapshot" })).toThrow("only full: set snapshots of the cluster");
  const connection = { local: {} };
  const host = { connection, user: "root", runtimeArgv: [] };
  expect(() => new BackupNow("before", { host, type: "snapshot" })).toThrow("a snapshot needs a cluster");
  expect(() => new BackupNow("before", { host, target: "primary" })).toThrow("it is for clusters");
});

test("a named repository and target decide the Backup's spec", async () => {
  const repositoryBackups = { repo2: { full: [{ of: "repo2", target: "primary" }] } };
  const cluster = { namespace: "db", clusterName: "orders", backups: { full: [{ of: "all" }] }, repositoryBackups };
  const made = await declaredBy(
    () => void new BackupNow("before", { cluster, repositories: ["repo2"], target: "prefer-standby" }),
    () => ({ metadata: { uid: "1" }, status: { phase: "completed" } }),
  );
  expect(made.filter(({ type }) => type.endsWith(":Backup")).map(({ inputs }) => inputs["spec"])).toEqual([
    { of: "repo2", target: "prefer-standby" },
  ]);
});

const END: BackupEndInputs = {
  namespace: "db",
  backup: "orders-before",
  uid: "1",
  phase: "completed",
  error: "",
  backupId: "20261120-065300F",
};

test("the provider waits until a Backup has ended, successfully or not", async () => {
  const { label, made } = await declared({ phase: "completed", backupId: "20261120-065300F" });
  const backup = made.find(({ type }) => type === "kubernetes:postgresql.cnpg.io/v1:Backup");
  expect(backup?.inputs["metadata"]).toMatchObject({
    annotations: {
      "pulumi.com/waitFor":
        "jsonpath={$[?(@.phase == 'completed' || @.phase == 'failed' || @.phase == 'invalid backup definition')]}",
    },
  });
  expect(label).toBe("20261120-065300F");
});

test("a resource that depends on the Backup receives its phase and its own error", async () => {
  const { made } = await declared({ phase: "failed", error: "no space left on device" });
  const end = made.find(({ type }) => type.endsWith(":ClusterBackupEnd"));
  expect(end?.name).toBe("before-backup-end");
  expect(end?.inputs).toMatchObject({
    namespace: "db",
    backup: expect.stringMatching(/^orders-before-backup-[0-9a-f]{8}$/),
    uid: "uid of before-backup",
    phase: "failed",
    error: "no space left on device",
  });
});

test("each of several backups waits for the previous one's outcome", async () => {
  const { made } = await declared({ phase: "completed", backupId: "20261120-065300F" }, [{}, {}]);
  const names = made.map(({ name }) => name).filter((name) => name !== "before");
  expect(names).toEqual(["before-backup-1", "before-backup-1-end", "before-backup-2", "before-backup-2-end"]);
});

// claim: docs/kubernetes/commands.md: `BackupNow` for every engine…
test("the update fails with the Backup's own error, and names the remedy", async () => {
  expect(await backupEndCreate(END)).toEqual({ id: "db/orders-before", outs: { label: "20261120-065300F", uid: "1" } });
  for (const phase of ["failed", "invalid backup definition"])
    await expect(backupEndCreate({ ...END, phase, error: "no space left on device", backupId: "" })).rejects.toThrow(
      `Backup orders-before in namespace db has not completed (${phase}): no space left on device\nTo take another backup, change a value in triggers`,
    );
  await expect(backupEndCreate({ ...END, phase: "" })).rejects.toThrow("no phase");
});

test("only another Backup is read again, even one of the same name", async () => {
  const { outs } = await backupEndCreate(END);
  expect(await backupEndDiff("", outs, { ...END, phase: "", error: "later" })).toEqual({
    changes: false,
    replaces: [],
  });
  expect(await backupEndDiff("", outs, { ...END, uid: "2" })).toEqual({ changes: true, replaces: ["uid"] });
});
