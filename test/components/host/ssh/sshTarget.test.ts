import { expect, test } from "vitest";
import { loadTarget, type SshInput } from "../../../../components/host/ssh/sshTarget";

const INPUT: SshInput = {
  host: "db",
  port: 22,
  user: "deploy",
  sudo: true,
  hostKeys: [],
  knownHostsFiles: ["~/.ssh/known_hosts"],
};
const access = (files: Readonly<Record<string, string>> = {}) => ({
  agent: "/run/agent",
  readText: async (path: string) => files[path] ?? Promise.reject(new Error(`ENOENT: no such file, open '${path}'`)),
});

test("a given key has priority over a file, and both over the agent", async () => {
  const file = { ...INPUT, privateKeyFile: "/keys/db" };
  expect(await loadTarget(file, [{ privateKey: "given" }], access({ "/keys/db": "kept" }))).toMatchObject({
    privateKey: "given",
  });
  expect(await loadTarget(file, [], access({ "/keys/db": "kept" }))).toMatchObject({
    privateKey: "kept",
    agent: "/run/agent",
  });
  expect(await loadTarget(INPUT, [], access())).toMatchObject({ privateKey: undefined, agent: "/run/agent" });
  expect(await loadTarget({ ...INPUT, agent: "/other" }, [], access())).toMatchObject({ agent: "/other" });
});

test("jump hosts have their own keys", async () => {
  const through = { ...INPUT, jump: { ...INPUT, host: "outer", jump: { ...INPUT, host: "outermost" } } };
  const target = await loadTarget(through, [{ privateKey: "1" }, { privateKey: "2", passphrase: "p" }, {}], access());
  expect(target.jump).toMatchObject({ host: "outer", privateKey: "2", passphrase: "p" });
  expect(target.jump?.jump).toMatchObject({ host: "outermost", privateKey: undefined });
});

test("an unreadable file is named", async () => {
  await expect(loadTarget({ ...INPUT, privateKeyFile: "/keys/none" }, [], access())).rejects.toThrow(
    "unable to read the private key /keys/none: ENOENT: no such file, open '/keys/none'",
  );
});
