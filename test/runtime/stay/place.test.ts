import { chmodSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Caller, directoryOf, keyFileOf, socketOf } from "../../../runtime/stay/place";
import { makeCaller, makeDirectory } from "./support";

function withKey(text = "k".repeat(32)): ReturnType<typeof makeCaller> {
  const caller = makeCaller();
  writeFileSync(keyFileOf(makeDirectory(caller)), text);
  return caller;
}

describe("the socket's name", () => {
  it("is the same for the same call, whatever its shell sets", () => {
    const caller = withKey();
    const path = socketOf(caller);
    expect(path).toMatch(/pgbackstop-\d+\/[0-9a-f]{32}\.sock$/);
    const { environment } = caller;
    expect(socketOf({ ...caller, environment: { PWD: "/x", _: "node", ...environment, SHLVL: "9" } })).toBe(path);
  });

  // claim: docs/agent.md: a call with another program, account or environment does not find it
  it("differs with program, Node.js and each variable", () => {
    const caller = withKey();
    const { environment } = caller;
    const other = join(caller.folder, "other.cjs");
    writeFileSync(other, "program");
    const callers: Caller[] = [
      caller,
      { ...caller, programFile: other },
      { ...caller, nodeVersion: "v24.0.1" },
      { ...caller, execPath: "/opt/node" },
      { ...caller, environment: { ...environment, PGBACKREST_REPO1_CIPHER_PASS: "changed" } },
      { ...caller, environment: { ...environment, TZ: "UTC" } },
    ];
    const paths = callers.map(socketOf);
    expect(new Set(paths).size).toBe(callers.length);
    expect(paths).not.toContain(null);
    // An update renames the new program into place.
    renameSync(other, caller.programFile);
    expect(paths).not.toContain(socketOf(caller));
  });

  it("depends on the directory's key, so that it shows nothing of the environment", () => {
    const first = withKey();
    const path = socketOf(first);
    writeFileSync(keyFileOf(directoryOf(first) ?? ""), "another key");
    expect(socketOf(first)).not.toBe(path);
  });
});

describe("no process may stay", () => {
  // claim: docs/agent.md: root, pods and containers leave none
  it.each<[string, Partial<Caller>]>([
    ["for root", { uid: 0 }],
    ["without accounts", { uid: -1 }],
    ["in a pod", { environment: { KUBERNETES_SERVICE_HOST: "10.0.0.1" } }],
    ["with options of Node.js", { execArgv: ["--cpu-prof"] }],
    ["with a relative TMPDIR", { environment: { TMPDIR: "tmp" } }],
  ])("%s", (_, changes) => {
    expect(directoryOf(makeCaller())).not.toBeNull();
    expect(directoryOf(makeCaller(changes))).toBeNull();
  });

  it("in a directory that others may enter, that is a link, or without a key", () => {
    const caller = withKey();
    const directory = directoryOf(caller) ?? "";
    expect(socketOf(caller)).not.toBeNull();
    chmodSync(directory, 0o750);
    expect(socketOf(caller)).toBeNull();
    chmodSync(directory, 0o700);
    renameSync(directory, `${directory}.real`);
    symlinkSync(`${directory}.real`, directory);
    expect(socketOf(caller)).toBeNull();
    const bare = makeCaller();
    makeDirectory(bare);
    expect(socketOf(bare)).toBeNull();
  });

  it("where another account made the directory", () => {
    const caller = withKey();
    expect(socketOf({ ...caller, uid: caller.uid - 1, environment: caller.environment })).toBeNull();
  });
});
