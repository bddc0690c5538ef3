import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findContainer } from "../../../../runtime/postgres/container/findContainer";
import { engineOf, findRootless } from "../../../../runtime/postgres/container/rootless";
import { temporaryFolder } from "../../repository/support";

/** As Podman 4.3 starts it, shortened. */
const CONMON = ["/usr/bin/conmon", "--api-version", "1", "-c", "f318", "-u", "f318", "-r", "/usr/bin/crun", "-n", "db"];
/** As docs.docker.com/engine/security/rootless has it. */
const ROOTLESSKIT = ["rootlesskit", "--net=slirp4netns", "--copy-up=/etc", "/usr/bin/dockerd-rootless.sh"];

test("conmon shows a container's name, rootlesskit a Docker", () => {
  expect(engineOf(CONMON, "db")).toBe("podman");
  expect(engineOf(CONMON, "other")).toBeNull();
  expect(engineOf(CONMON, undefined)).toBeNull();
  expect(engineOf(ROOTLESSKIT, undefined)).toBe("docker");
  expect(engineOf(["/usr/bin/sh", "-n", "db"], "db")).toBeNull();
});

// claim: docs/hosts/containers.md: a container of rootless Podman or Docker is named with its account (its processes as
//   recorded)
test("names the account of a rootless container that root's engines do not have", async () => {
  const folder = temporaryFolder();
  for (const [pid, argv, uid] of [
    ["12", CONMON, 1000],
    ["13", ROOTLESSKIT, 1001],
    ["14", CONMON, 0],
    ["self", CONMON, 1002],
  ] as const) {
    mkdirSync(join(folder, pid));
    writeFileSync(join(folder, pid, "cmdline"), argv.join("\0"));
    if (process.geteuid?.() === 0) chownSync(join(folder, pid), uid, uid);
  }
  if (process.geteuid?.() !== 0) return;
  expect(await findRootless("db", folder)).toEqual([
    { engine: "podman", uid: 1000 },
    { engine: "docker", uid: 1001 },
  ]);
  const none = async () => ({ exitCode: 1, stdout: "[]\n", stderr: "Error: No such container: db" });
  const looked = findContainer({ name: "db" }, none, (name) => findRootless(name, folder));
  await expect(looked).rejects.toThrow(
    "root has no container 'db': account 1000 runs it with rootless Podman, account 1001 runs a rootless Docker",
  );
});
