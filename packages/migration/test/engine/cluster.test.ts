/**
 * A migration into a cluster on the real engine, with a double of the Kubernetes provider: the example's preview, and a
 * corrected image.
 */
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ProviderDouble } from "../../../../test/harness/doubles/providerDouble";
import { KUBERNETES } from "../../../../test/harness/doubles/providerSchemas";
import { textOf } from "../../../../test/harness/doubles/providerValues";
import { NIGHTLY } from "../../../../tools/parts/nightly";
import { loadExample, openStack, type ProgramFolder } from "../../../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../../../../test/harness/programFolder";
import { Migration } from "../../components/migration";
import { MigrationStage, WorkloadKind } from "../../components/migrationArgs";
import type { MoveOutputs, MoveSettings } from "../../example/program";

const JOB = "kubernetes:batch/v1:Job";
const PASSWORD = "marker-password-of-the-old-one";

let programFolder: ProgramFolder;
let kubernetes: ProviderDouble;

beforeAll(async () => {
  kubernetes = await ProviderDouble.start(KUBERNETES);
  programFolder = await makeProgramFolder([kubernetes]);
});
afterAll(() => {
  kubernetes?.stop();
  removeProgramFolder(programFolder);
});

test("an existing server moves into a cluster: the preview has each step of the stage, and no finding", async () => {
  const { program } = await loadExample<{ program: (settings: MoveSettings) => MoveOutputs }>(
    programFolder,
    "migration",
    "program",
    join("packages", "migration", "example"),
  );
  const secret = "never-to-be-seen-0123456789";
  const settings: MoveSettings = {
    oldAddress: "db.example.net",
    oldPassword: pulumi.secret(secret),
    oldCa: "-----BEGIN CERTIFICATE-----",
    bucket: "acme-orders-pg",
    keys: { accessKeyId: "0123456789abcdef", secretAccessKey: secret },
    until: "retire",
  };
  const { stdout, changeSummary } = await (
    await openStack(programFolder, "move", async () => program(settings))
  ).preview({ diff: true });
  expect(Object.keys(changeSummary)).toEqual(["create"]);
  for (const role of [
    "plan",
    "stop-workloads",
    "copy",
    "verify",
    "repoint-secrets",
    "start-workloads",
    "first-drill",
    "finish",
  ])
    expect(stdout).toContain(`"to-cluster-${role}"`);
  expect(stdout).toContain(
    "remember the replicas of Deployment shop/web; suspend, and wait for the runs of CronJob shop/invoices",
  );
  expect(stdout).toContain(
    "host=db.example.net user=postgres sslmode=verify-full sslrootcert=/pgbackstop/servers/from-ca.pem",
  );
  expect(stdout).not.toMatch(/PB\d{3} /);
  expect(stdout).not.toContain(secret);
});

function openMove(image: string, until: MigrationStage): Promise<Stack> {
  return openStack(programFolder, "move", async () => {
    new Migration("move", {
      source: { address: "old.example.net", password: pulumi.secret(PASSWORD) },
      target: { cluster: { namespace: "db", clusterName: pulumi.output("orders"), backups: {} } },
      workloads: [{ kind: WorkloadKind.CronJob, name: "nightly" }],
      image,
      until,
    });
  });
}

// claim: packages/migration/docs/program.md: another image repeats the steps of the copy before the switch, and none
//   afterwards (the provider is a double)
test.runIf(NIGHTLY)(
  "a migration accepts a corrected image until its applications use the target, and none afterwards",
  async () => {
    const jobs = (): string[] =>
      kubernetes
        .all(JOB)
        .filter(({ id }) => id.startsWith("db/"))
        .map(
          ({ id, inputs }) =>
            `${id.replace(/-[0-9a-f]{8}$/, "")} ${/postgresql:\w+/.exec(textOf(inputs["spec"]))?.[0] ?? ""}`,
        );
    const up = async (image: string, until: MigrationStage): Promise<string[]> => {
      const before = kubernetes.calls.length;
      await (await openMove(image, until)).up();
      return kubernetes.calls.slice(before).filter((call) => call.endsWith(` ${JOB}`) && /^(create|delete)/.test(call));
    };
    await up("postgresql:wrong", MigrationStage.Copy);
    expect((await up("postgresql:right", MigrationStage.Copy)).toSorted()).toEqual([
      ...Array<string>(3).fill(`create ${JOB}`),
      ...Array<string>(3).fill(`delete ${JOB}`),
    ]);
    expect(jobs().toSorted()).toEqual([
      "db/move-copy postgresql:right",
      "db/move-plan postgresql:right",
      "db/move-stop-workloads ",
      "db/move-verify postgresql:right",
    ]);
    expect(await up("postgresql:late", MigrationStage.Switch)).toEqual([`create ${JOB}`]);
    expect(jobs()).toContain("db/move-verify postgresql:right");
    expect(kubernetes.find("kubernetes:rbac.authorization.k8s.io/v1:Role", "db/move")?.inputs["rules"]).toContainEqual({
      apiGroups: ["batch"],
      resources: ["cronjobs"],
      resourceNames: ["nightly"],
      verbs: ["get", "patch"],
    });
  },
);
