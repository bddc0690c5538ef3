/** Archive settings after a destroy, on a host in a folder. test/hosts has real ones. */
import { existsSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { PartlyApplied } from "../../../components/host/converge";
import type { HostOutcome } from "../../../components/host/hostIdentity";
import { ConvergedHost, OWNER } from "../../harness/hosts/convergedHost";
import { NIGHTLY } from "../../../tools/parts/nightly";

const FORMER = "cp %p /srv/wal";
let host: ConvergedHost;
afterEach(() => host.remove());

const outcomeOf = (failed: Promise<unknown>): Promise<HostOutcome> =>
  failed.then(
    () => Promise.reject(new Error("nothing failed")),
    (error: unknown) => (error instanceof PartlyApplied ? error.outcome : Promise.reject(error)),
  );

// claim: docs/hosts/updates.md: the last component restores the archive settings (also if an earlier update has set
//   them, and the last one was killed before)
test("a destroy restores the settings if the last update was killed before it changed our command", async () => {
  host = new ConvergedHost({ automatic: { archive_command: FORMER } });
  const known = await host.converge(host.desired());
  const next = host.desired({ settings: { archive_command: `${host.path("lib", "client")} archive-push` } });
  const reached = await outcomeOf(host.converge(next, known, "pg-settings stdin"));
  await host.destroy(next, reached);
  expect(host.world.automatic).toEqual({ archive_command: FORMER });
  expect(host.printed.join()).not.toContain("was changed since");
});

test.runIf(NIGHTLY)("so it does after a refresh, which does not keep our earlier command", async () => {
  host = new ConvergedHost({ automatic: { archive_command: FORMER } });
  const known = await host.converge(host.desired());
  const next = host.desired({ settings: { archive_command: `${host.path("lib", "client")} archive-push` } });
  const reached = await outcomeOf(host.converge(next, known, "pg-settings stdin"));
  await host.destroy(next, await host.refresh(next, reached));
  expect(host.world.automatic).toEqual({ archive_command: FORMER });
});

test("another program's command stays", async () => {
  host = new ConvergedHost({ automatic: { archive_command: FORMER } });
  const known = await host.converge(host.desired());
  host.change({ automatic: { archive_command: "other" } });
  await host.destroy(host.desired(), known);
  expect(host.world.automatic).toEqual({ archive_command: "other" });
  expect(host.printed.at(-1)).toBe("archive_command was changed since: keeping the archive settings");
});

test("a data directory that is gone has no settings, and one that cannot be read is not gone", async () => {
  host = new ConvergedHost({ automatic: { archive_command: FORMER } });
  const known = await host.converge(host.desired());
  const at = (dataDirectory: string): ReturnType<ConvergedHost["desired"]> => ({ ...host.desired(), dataDirectory });
  // A link that leads to itself stands for a volume with errors.
  symlinkSync(host.path("loop"), host.path("loop"));
  await expect(host.destroy(at(host.path("loop")), known)).rejects.toThrow(
    `unable to look for ${host.path("loop", "PG_VERSION")}`,
  );
  expect(existsSync(host.path("lib", "runtime.cjs"))).toBe(true);
  await host.destroy(at(host.path("none", "such")), known);
  expect(host.printed).toContain(`${host.path("none", "such")} is gone: there are no settings to restore`);
  expect(existsSync(host.path("lib", "runtime.cjs"))).toBe(false);
});

// claim: docs/hosts/updates.md: an update keeps programs that the `restore_command` of a standby names
test("an update that moves the program keeps the one that a standby's restore_command names", async () => {
  host = new ConvergedHost();
  const desired = host.desired();
  const known = await host.converge(desired);
  const [old, moved] = [host.path("lib", "runtime.cjs"), host.path("lib2", "runtime.cjs")];
  writeFileSync(host.path("data", "standby.signal"), "");
  host.change({ automatic: { ...host.world.automatic, restore_command: `node ${old} archive-get` } });
  const next = {
    ...desired,
    runtimeArgv: desired.runtimeArgv.map((part) => (part === old ? moved : part)),
    files: desired.files.map((file) => (file.path === old ? { ...file, path: moved } : file)),
    directoriesToMake: [
      ...desired.directoriesToMake,
      { path: host.path("lib2"), mode: "0755", owner: "admin" as const },
    ],
  };
  const outcome = await host.converge(next, known);
  expect([existsSync(old), outcome.fileFacts[old] !== undefined]).toEqual([true, true]);
  expect(host.printed.join()).toContain(
    `WARN: kept ${old}, which restore_command of the standby in ${host.path("data")} names`,
  );
  rmSync(host.path("data", "standby.signal"));
  const after = await host.converge(next, outcome);
  expect([existsSync(old), after.fileFacts[old]]).toEqual([false, undefined]);
});

// claim: docs/hosts/updates.md: after a destroy that failed run the destroy again (its programs are gone)
test.runIf(NIGHTLY)("another destroy ends one that failed after it had removed the programs", async () => {
  host = new ConvergedHost({ automatic: { archive_command: FORMER } });
  const desired = host.desired();
  const known = await host.converge(desired);
  await host.destroy(desired, known, "rmdir").catch(() => undefined);
  expect([existsSync(host.path("lib", "runtime.cjs")), existsSync(host.path("etc"))]).toEqual([false, true]);
  await host.destroy(desired, known);
  expect(existsSync(host.path("etc"))).toBe(false);
  // Our own command may not stay without its program.
  host.change({ automatic: { archive_command: desired.settings["archive_command"] ?? "" } });
  await expect(host.destroy(desired, known)).rejects.toThrow("run an update to install it again, then destroy");
});

test("a host without PostgreSQL's account is removed only if its cluster is gone too", async () => {
  host = new ConvergedHost();
  const desired = host.desired();
  const known = await host.converge(desired);
  const gone = { ...desired, user: "no-such-account" };
  await expect(host.destroy(gone, known)).rejects.toThrow("there is no account no-such-account");
  rmSync(host.path("data"), { recursive: true });
  await host.destroy(gone, known);
  expect(host.printed.join()).toContain("and the account no-such-account are gone");
  expect(existsSync(host.path("lib", "runtime.cjs"))).toBe(false);
});

// claim: docs/hosts/updates.md: an update removes what a component that left had beyond the new one
test("an update removes the files of a component that left, unless it declares them too", async () => {
  host = new ConvergedHost();
  const key = host.path("etc", "credentials-repo2");
  const old = host.desired({}, [{ path: key, mode: "0600", owner: "admin", content: "key" }]);
  const known = await host.converge(old);
  const renamed = host.desired({ owner: `${OWNER}2`, formerOwner: `${OWNER}2` });
  const outcome = await host.converge(renamed);
  await host.destroy(old, known);
  expect(existsSync(key)).toBe(true);
  const changed = { ...renamed, firstBackup: false, units: { enabled: ["other.timer"], restarted: [] } };
  const after = await host.converge(changed, { ...outcome, ready: false });
  expect([existsSync(key), existsSync(host.path("lib", "runtime.cjs")), after.ready]).toEqual([false, true, true]);
  expect(Object.keys(after.fileFacts).toSorted()).toEqual(changed.files.map(({ path }) => path).toSorted());
});
