/** What `doctor` reports about accounts on real OpenSSH servers: free space, owners, and too few or too many rights. */
import { chmodSync, chownSync, readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Diagnosis } from "../../runtime/operations/check/doctor";
import { openStorage } from "../../runtime/storage/open";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { isRoot } from "../../tools/parts/users";
import { deps, doctor, GOOD, verdicts } from "../harness/doctor";
import { sftpRepo } from "../harness/repositories";
import { skipped } from "../harness/real/interopParts";

const ALL_GOOD = GOOD.map((name) => `ok ${name}`);

describe("an SFTP account", async () => {
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped("an SFTP account", sshd.missing);
  const servers: SftpServer[] = [];
  let whole: SftpServer;
  const start = async (without: readonly string[]): Promise<SftpServer> => {
    const server = await SftpServer.create({ ...(without.length === 0 ? {} : { without }), hostKeyTypes: ["ecdsa"] });
    servers.push(server);
    return server;
  };
  beforeAll(async () => {
    whole = await start([]);
  });
  afterAll(() => Promise.all(servers.map((server) => server.remove())));

  async function ask(server: SftpServer, folder: string): Promise<Diagnosis> {
    const storage = openStorage(sftpRepo(server, folder), deps);
    try {
      return await doctor(storage);
    } finally {
      await storage.close();
    }
  }
  const textOf = ({ facts }: Diagnosis, name: string): string => facts.find((fact) => fact.name === name)?.text ?? "";

  // claim: README.md: `doctor` reports what a…
  test("on a server with every extension reports the directory's owner, the free space, and that it can delete", async () => {
    const folder = whole.makeFolder("repo");
    const result = await ask(whole, folder);
    expect(verdicts(result)).toEqual([
      ...ALL_GOOD,
      "ok owner",
      expect.stringMatching(/^(ok|warn) space$/),
      "ok sync",
      "ok replace",
      "warn delete",
    ]);
    expect(textOf(result, "owner")).toMatch(/^user \d+, group \d+, mode 0750: this account's own$/);
    expect(textOf(result, "space")).toMatch(/^[0-9.]+ of [0-9.]+ GiB free$/);
    expect(Number(/of ([0-9.]+)/.exec(textOf(result, "space"))?.[1])).toBeGreaterThan(0);
    expect(textOf(result, "delete")).toContain("can destroy every backup");
    expect(result.error).toBeNull();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("on a server without extensions reports what is unknown and what the server cannot guarantee", async () => {
    const server = await start(["posix-rename", "fsync", "statvfs"]);
    const result = await ask(server, server.makeFolder("repo"));
    expect(verdicts(result)).toEqual([
      ...ALL_GOOD,
      "ok owner",
      "skip space",
      "warn sync",
      "warn replace",
      "warn delete",
    ]);
    expect(result.error).toBeNull();
  });

  // claim: README.md: `doctor` reports what a…
  test("that can only add files is reported as append-only, with the reason why that is not enough", async () => {
    const server = await start(["remove", "rmdir"]);
    const result = await ask(server, server.makeFolder("repo"));
    expect(verdicts(result)).toContain("fail delete");
    expect(textOf(result, "delete")).toContain("append-only");
    expect(result.error).not.toBeNull();
  });

  test("that cannot write is still checked for everything else", async () => {
    const server = await start(["write", "mkdir"]);
    const result = await ask(server, server.makeFolder("repo"));
    expect(verdicts(result)).toEqual([
      "ok list",
      "fail write",
      "ok missing",
      "ok owner",
      expect.stringMatching(/^(ok|warn) space$/),
    ]);
    expect(result.error?.exitCode).toBe(105);
  });

  test("in a world-writable directory", async () => {
    const folder = whole.makeFolder("open");
    chmodSync(folder, 0o777);
    const result = await ask(whole, folder);
    expect(result.facts.find((fact) => fact.name === "owner")).toMatchObject({
      verdict: "warn",
      text: expect.stringContaining("every account of the server can delete"),
    });
  });

  test.runIf(isRoot())("in another account's directory", async () => {
    const folder = whole.makeFolder("other");
    chownSync(folder, 4242, whole.user.gid);
    chmodSync(folder, 0o770);
    const result = await ask(whole, folder);
    expect(result.facts.find((fact) => fact.name === "owner")).toMatchObject({
      verdict: "warn",
      text: expect.stringContaining("owned by another account than this one"),
    });
  });

  test("in a missing directory does not create it", async () => {
    expect(verdicts(await ask(whole, `${whole.folder}/nowhere`))).toEqual(["fail list"]);
  });
});
