/**
 * `SftpRepository` on the real engine, with a real SSH server: its key reaches only the host, and backups reach the
 * server.
 */
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { PulumiFn } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as Package from "../../components/index";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { loud } from "../harness/real/interopParts";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { LocalHost } from "./localHost";

let host: LocalHost | undefined;
let server: SftpServer | undefined;

beforeAll(async () => {
  const sshd = await findSshd();
  if ("missing" in sshd) return void loud("SFTP repositories on the engine", sshd.missing);
  server = await SftpServer.create();
  host = await LocalHost.create();
});
afterAll(async () => {
  await host?.remove();
  await server?.remove();
});

test("up, a second up, drift, a wrong host key and destroy", async (context) => {
  if (host === undefined || server === undefined) return context.skip();
  const [machine, box] = [host, server];
  const privateKey = readFileSync(box.clientKeyFile, "utf8");
  const marker = privateKey.split("\n")[2] ?? "";
  const directory = join(box.folder, "backups");
  // Loads the built package by name, as a user's program does.
  const { CipherPassphrase, PostgresHost, SftpRepository } = createRequire(
    join(machine.programFolder.folder, "program.cjs"),
  )("pgbackstop") as typeof Package;
  const program =
    (hostKey: string): PulumiFn =>
    async () => {
      const cipher = new CipherPassphrase("key", {}, { protect: false }).ref;
      const programFolder = { host: box.host, port: box.port, user: box.user.name, path: directory };
      const repository = new SftpRepository("box", { ...programFolder, hostKey, privateKey, cipher });
      const { dataDirectory, host: own } = machine.settings();
      const repositories = { repo1: { at: repository.target, keepDays: 7 } };
      const database = new PostgresHost("db", { connection: { local: {} }, dataDirectory, repositories, ...own });
      return { firstBackup: database.firstBackup, location: repository.location, topology: database.topology };
    };
  const open = (hostKey = box.hostKey("ecdsa")) => openStack(machine.programFolder, "sftp", program(hostKey));

  const first = await (await open()).up();
  expect(first.outputs["firstBackup"]?.value).toBe("taken");
  expect(first.outputs["location"]?.value).toBe(`sftp://${box.user.name}@127.0.0.1${directory}`);
  const keyFile = machine.path("etc", "conf.d", "repo1-sftp.key");
  const facts = (): unknown => [statSync(keyFile).mode & 0o7777, statSync(keyFile).uid, readFileSync(keyFile, "utf8")];
  const asDeclared = [0o600, machine.cluster.user.uid, privateKey];
  expect(facts()).toEqual(asDeclared);
  expect(readdirSync(join(directory, "backup", "main"))).toContain("backup.info");

  const before = machine.fingerprint();
  const second = await (await open()).up();
  expect(Object.keys(second.summary.resourceChanges ?? {})).toEqual(["same"]);
  expect(machine.fingerprint()).toEqual(before);

  chmodSync(keyFile, 0o644);
  const refreshed = await (await open()).refresh();
  expect(refreshed.summary.resourceChanges).toMatchObject({ update: 1 });

  await expect((await open("ssh-ed25519 nonsense")).preview()).rejects.toThrow("the value is not a public key");
  const wrong = await failureOf((await open(box.hostKey("ed25519").replace(/.{8}$/, "AAAAAAAA"))).up());
  expect(wrong).toContain("do not match");

  await (await open()).up();
  expect(facts()).toEqual(asDeclared);
  const gone = await (await open()).destroy();
  expect(existsSync(keyFile)).toBe(false);
  expect(readdirSync(join(directory, "backup", "main"))).toContain("backup.info");
  const states = stateTexts(machine.programFolder.folder);
  for (const text of [...states, first.stdout, second.stdout, wrong, gone.stdout])
    expect(text.includes(marker)).toBe(false);
});
