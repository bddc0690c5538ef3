/** Actions on hosts as resources of `@pulumi/command`: their declarations. test/engine runs them. */
import { userInfo } from "node:os";
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { BackupHold } from "../../../components/actions/backupHold";
import { BackupNow } from "../../../components/actions/backupNow";
import { CheckNow } from "../../../components/actions/checkNow";
import { DrillNow, type DrillNowArgs } from "../../../components/actions/drillNow";
import type { HostAccess } from "../../../components/databases/hostAccess";
import type { HostConnection } from "../../../components/databases/hostArgs";
import { type Declared, declaredBy } from "../declaredResources";

const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKeyOfTheTestKeyOfTheTestKeyOfTheTestKey";
const SSH = { host: "db", user: "deploy", privateKey: pulumi.secret("the key"), hostKeys: [HOST_KEY] };

function hostAt(connection: HostConnection): HostAccess {
  return { connection, user: "root", databaseUser: "postgres", runtimeArgv: ["pgbackstop", "--stanza=main"] };
}

/** The Command that `declare` makes. */
async function made(declare: () => void): Promise<Declared> {
  const all = await declaredBy(declare, () => ({ stdout: "20261122-090000F", stderr: "a line" }));
  return all.find(({ type }) => type.startsWith("command:")) ?? expect.fail("there is no Command");
}

test("a backup over SSH is a remote Command with the pinned key, and its data go over standard input", async () => {
  let label = "";
  const command = await made(() => {
    const now = new BackupNow("now", { host: hostAt({ ssh: SSH }), repositories: ["repo2"], triggers: ["v1"] });
    now.label.apply((text) => (label = text));
  });
  expect(command).toMatchObject({ type: "command:remote:Command", name: "now-command" });
  const { connection, create, stdin, ...others } = command.inputs;
  expect(others).toEqual({ triggers: ["v1"], addPreviousOutputInEnv: false, logging: "stderr" });
  expect(create).toMatch(/^\/bin\/sh -c 'cd \/ .* sudo -n -- \/bin\/sh -s'$/);
  expect(stdin).toContain("  run pgbackstop --stanza=main --log-level-console=info backup --type=full --repo=2\n");
  expect(stdin).toContain("seconds=86400 ");
  expect(connection).toMatchObject({ value: { host: "db", user: "deploy", hostKey: HOST_KEY, privateKey: "the key" } });
  expect(label).toBe("20261122-090000F");
});

test("on this machine it is a local Command", async () => {
  const command = await made(() => {
    const host = { ...hostAt({ local: {} }), user: userInfo().username };
    new BackupNow("now", { host, type: "incr", timeoutMinutes: 5 });
  });
  expect(command.type).toBe("command:local:Command");
  expect(command.inputs["create"]).not.toContain("sudo");
  expect(command.inputs["stdin"]).toContain("seconds=300 ");
});

test("a check and a drill are Commands with the host's own verbs", async () => {
  const check = await made(() => new CheckNow("proof", { host: hostAt({ ssh: SSH }) }));
  expect(check.name).toBe("proof-command");
  expect(check.inputs["stdin"]).toContain("  run pgbackstop --stanza=main --log-level-console=info check\n");
  const drill = await made(() => {
    new DrillNow("proof", { host: hostAt({ ssh: SSH }), drill: "monthly", from: "repo2", level: "quick" });
  });
  expect(drill.inputs["stdin"]).toContain("drill --name=monthly --repo=2 --pick=newest --level=quick\n");
});

// claim: docs/retention.md: `BackupHold` holds a backup during an update (the command that it runs)
test("a hold is a Command that runs again when backup, reason or end changes", async () => {
  const hold = { host: hostAt({ ssh: SSH }), backup: "20261231-020000F", reason: "audit 'of' 2026" };
  const command = await made(() => new BackupHold("audit", { ...hold, until: "2027-12-31" }));
  expect(command.inputs["stdin"]).toContain(
    String.raw`  run pgbackstop --stanza=main --log-level-console=info hold --set=20261231-020000F '--reason=audit '\''of'\'' 2026' --until=2027-12-31`,
  );
  expect(command.inputs["triggers"]).toEqual(["20261231-020000F", "audit 'of' 2026", "2027-12-31"]);
  const endless = await made(() => new BackupHold("audit", hold));
  expect(endless.inputs["stdin"]).not.toContain("--until");
});

test.each([
  ["stock's engine", { host: { connection: { local: {} }, user: "root", runtimeArgv: [] } }, "its engine is stock"],
  ["a drill's name", { drill: "No Name" }, '"No Name" is not the name of a drill'],
  ["a repository", { from: "two" }, '"two" is not a repository key'],
  ["a pick", { pick: "best" as never }, '"best" is not one of newest, oldest, random, moment'],
  ["a level", { level: "deep" as never }, '"deep" is not one of quick, standard, thorough'],
  ["a limit", { maxMinutes: 0 }, "0, and must be 1 to 10080"],
] as [string, Partial<DrillNowArgs>, string][])("a drill refuses %s that does not exist", (_title, over, message) => {
  expect(() => new DrillNow("proof", { host: hostAt({ local: {} }), ...over })).toThrow(message);
});
