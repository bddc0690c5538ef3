/** The record of the components that declare a host. The tests of the engine have the journeys. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import {
  enterHost,
  leaveFormer,
  closeGap,
  filesOfLeft,
  leaveHost,
  markFinished,
  markSet,
  readBegun,
  readOthersBegun,
  refuseOtherHost,
  requireAlone,
  writeBegun,
} from "../../../components/host/hostOwners";
import { connectLocally } from "../../../components/host/localConnection";
import { given } from "../../../runtime/base/given";
import { UNIT_HEAD } from "../../../components/render/units/unit";

const LEFT = { previousSettings: { archive_command: "mine" }, madeDirectories: [], nodePaths: [], files: [] };
// One: each listens for the end of this process.
const connection = connectLocally();
let folder: string;
let path: string;
const printed: string[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "owners-"));
  path = join(folder, "owners");
});
beforeEach(() => {
  rmSync(path, { force: true });
  printed.length = 0;
});
afterAll(async () => {
  await connection.close();
  rmSync(folder, { recursive: true, force: true });
});

const log = (line: string): void => void printed.push(line);
const enter = (owner: string, stanza: string, over: { former?: string; archives?: boolean } = {}): Promise<boolean> =>
  enterHost(connection, path, { owner, declared: { stanza }, archives: true, ...over }, log);
const leave = (owner: string | undefined): ReturnType<typeof leaveHost> =>
  leaveHost(connection, path, owner, LEFT, log);

test("a component with the same stanza may enter, one with another stanza is refused with the way out", async () => {
  expect(await enter("a", "main")).toBe(false);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  // Its line was written before its settings.
  expect(await enter("b", "main")).toBe(false);
  await markSet(connection, path, "a");
  printed.length = 0;
  expect(await enter("b", "main")).toBe(true);
  expect(printed).toEqual([`a declares this host too, as ${path} says: each update replaces what the other one wrote`]);
  const before = readFileSync(path, "utf8");
  await expect(enter("c", "other")).rejects.toThrow(
    `c (stanza other) would replace files of a (stanza main) on this machine: give one of them its own directories, or destroy that one first; if it no longer exists, delete its line in ${path}`,
  );
  expect(readFileSync(path, "utf8")).toBe(before);
});

test("a component may change its name and its stanza", async () => {
  await enter("a", "main");
  expect(await enter("b", "other", { former: "a" })).toBe(false);
  expect(await leave("b")).toEqual([]);
  expect(printed).toEqual([]);
});

test("one that archives may follow one that does not, and not the other way round", async () => {
  await enter("standby", "main", { archives: false });
  expect(await enter("a", "main")).toBe(false);
  await expect(leave("a")).rejects.toThrow("standby, which archives nothing, declares this host too");
  expect(await leave("standby")).toBeNull();
  await expect(enter("standby", "main", { archives: false })).rejects.toThrow(
    "standby (stanza main, archives nothing) would replace files of a (stanza main)",
  );
});

test("the last component learns what others left, and one without a name is never the last of several", async () => {
  await enter("a", "main");
  await enter("b", "main");
  expect(await leave("a")).toBeNull();
  expect(await leave(undefined)).toBeNull();
  expect(printed.at(-1)).toBe(`b still declares this host, as ${path} says: nothing of it is removed`);
  expect(await leave("b")).toEqual([LEFT, LEFT]);
});

test("files of those that left are known to the last one, until it has removed them", async () => {
  const files = ["/etc/systemd/system/pgbackstop-main-full.timer"];
  await enter("a", "main");
  await enter("b", "main");
  await enter("c", "main");
  await leaveHost(connection, path, "a", { ...LEFT, files }, log);
  expect(await filesOfLeft(connection, path)).toEqual([]);
  await leave("b");
  expect(await filesOfLeft(connection, path)).toEqual(files);
  await markFinished(connection, path, "c");
  expect(await filesOfLeft(connection, path)).toEqual(files);
  await markFinished(connection, path, "c", true);
  expect(await filesOfLeft(connection, path)).toEqual([]);
  // The settings that they found are still to be restored.
  expect(await leave("c")).toEqual([LEFT, LEFT]);
});

test("a damaged line is reported, and a missing file is no other component", async () => {
  expect(await leave("a")).toEqual([]);
  writeFileSync(path, "{\n");
  await expect(enter("a", "main")).rejects.toThrow(
    `${path} on this machine has a line that is not JSON: delete the line`,
  );
});

test("a component whose directory changes leaves the file in the former one, with it what others left", async () => {
  const to = join(folder, "new");
  const move = (): Promise<void> => leaveFormer(connection, { from: path, to }, ["b", "b before"]);
  await enter("b before", "main");
  await enter("a", "main");
  await enterHost(connection, to, { owner: "b", declared: { stanza: "main" }, archives: true }, log);
  await move();
  expect([readFileSync(path, "utf8").includes('"a"'), readFileSync(path, "utf8").includes('"b')]).toEqual([
    true,
    false,
  ]);
  await enter("b", "main");
  await leave("a");
  await move();
  expect(existsSync(path)).toBe(false);
  expect(await leaveHost(connection, to, "b", LEFT, log)).toEqual([LEFT]);
  await move();
  rmSync(to);
});

// claim: docs/hosts/updates.md: move the configuration of a host that another component declares too: the update
//   refuses
// claim: docs/hosts/updates.md: rename a component and change `archive` at once: the update refuses
test("one that archives another way is refused with the way out, also under another name", async () => {
  const entering = (owner: string, by?: string): Promise<boolean> =>
    enterHost(connection, path, { owner, declared: {}, archives: true, ...given({ by }) }, log);
  await entering("a", "max_slot_wal_keep_size");
  await expect(entering("b", "archive_command")).rejects.toThrow(
    `b (archive_command) archives another way than a (max_slot_wal_keep_size), which declares this machine too: destroy that one first; if it no longer exists, delete its line in ${path}`,
  );
  // A line of an earlier version does not say how.
  await entering("a");
  await entering("b", "archive_command");
});

test("a component whose directory changes may not leave the record to others", async () => {
  await enter("a", "main");
  await enter("b", "main");
  await expect(requireAlone(connection, path, ["b", undefined])).rejects.toThrow(
    `a declares this host too, as ${path} on this machine says, so its configuration cannot move: destroy that one first; if it no longer exists, delete its line in ${path}`,
  );
  await leave("a");
  await requireAlone(connection, path, ["b", undefined]);
  await requireAlone(connection, `${path}.missing`, ["b"]);
});

test("what others noted is known to all, the first one's settings before the later ones'", async () => {
  await enter("a", "main");
  await enter("b", "main");
  await enter("c", "main");
  expect(await readOthersBegun(connection, path, ["c"])).toEqual({ previousSettings: {} });
  await writeBegun(connection, path, "a", { previousSettings: { archive_command: "mine" }, walGap: true });
  await writeBegun(connection, path, "b", { previousSettings: { archive_command: "a's", archive_timeout: "60s" } });
  expect(await readOthersBegun(connection, path, ["c"])).toEqual({
    previousSettings: { archive_command: "mine", archive_timeout: "60s" },
    walGap: true,
  });
  await closeGap(connection, path);
  expect(await readBegun(connection, path, ["a"])).toEqual({ previousSettings: { archive_command: "mine" } });
});

test("what a killed update had noted moves with the component", async () => {
  const to = join(folder, "moved");
  const begun = { previousSettings: { archive_command: "mine" }, walGap: true } as const;
  await enter("b before", "main");
  await writeBegun(connection, path, "b before", begun);
  await enterHost(connection, to, { owner: "b", declared: { stanza: "main" }, archives: true, unfinished: true }, log);
  await leaveFormer(connection, { from: path, to }, ["b", "b before"]);
  expect(await readBegun(connection, to, ["b"])).toEqual(begun);
  expect(readFileSync(to, "utf8")).toContain('"unfinished":true');
  rmSync(to);
});

// claim: docs/hosts/updates.md: two components with the same directories: the second one is refused (their units)
test("a unit of a host with another configuration is refused with the way out, one of the same is not", async () => {
  const unit = join(folder, "pgbackstop-main-full.service");
  const paths = [unit, `${unit}.missing`];
  const refused = (config: string): Promise<void> => refuseOtherHost(connection, { config, paths, units: folder });
  await refused("/etc/pgbackstop/pgbackrest.conf");
  writeFileSync(unit, `${UNIT_HEAD}\nExecStart=node "runtime.cjs" "--config=/etc/pgbackstop/pgbackrest.conf" backup\n`);
  await refused("/etc/pgbackstop/pgbackrest.conf");
  await expect(refused("/etc/pgbackrest/pgbackrest.conf")).rejects.toThrow(
    `${unit} on this machine belongs to the host whose configuration is /etc/pgbackstop/pgbackrest.conf, and would be replaced: give one of them its own stanza and directories`,
  );
  // Nobody else's file names our configuration, and stock's default has no option.
  writeFileSync(unit, "ExecStart=other --config=/etc/other.conf\n");
  await refused("/etc/pgbackrest/pgbackrest.conf");
  writeFileSync(unit, `${UNIT_HEAD}\nExecStart=pgbackrest --stanza=main backup\n`);
  await refused("/etc/pgbackrest/pgbackrest.conf");
});

test("a host of another stanza is refused if a host with another configuration runs the same program", async () => {
  const units = mkdtempSync(join(folder, "units-"));
  const program = "/usr/local/lib/pgbackstop/runtime.cjs";
  const text = `${UNIT_HEAD}\nExecStart=node "${program}" "--config=/etc/first/pgbackrest.conf" backup\n`;
  writeFileSync(join(units, "pgbackstop-first-full.service"), text);
  const paths = [program, join(units, "pgbackstop-second-full.service")];
  const refused = (config: string, at: string | undefined): Promise<void> =>
    refuseOtherHost(connection, { config, paths, units, program: at });
  await expect(refused("/etc/second/pgbackrest.conf", program)).rejects.toThrow(
    `${units}/pgbackstop-first-full.service on this machine belongs to the host whose configuration is /etc/first/pgbackrest.conf, and its program ${program} would be replaced: give one of them its own stanza and directories (config, lib, bin, units)`,
  );
  await refused("/etc/first/pgbackrest.conf", program);
  // Written by an earlier update of this host.
  await refused("/etc/second/pgbackrest.conf", undefined);
  await refused("/etc/second/pgbackrest.conf", "/usr/local/lib/second/runtime.cjs");
});

test("what an update noted before it was killed stays in its line, also under another name", async () => {
  await enter("a", "main");
  await enter("b", "main");
  expect(await readBegun(connection, path, ["a"])).toBeNull();
  const begun = { previousSettings: { archive_command: "mine", archive_mode: null }, walGap: true } as const;
  await writeBegun(connection, path, "a", begun);
  expect(await readBegun(connection, path, ["a"])).toEqual(begun);
  expect(await readBegun(connection, path, ["b", undefined])).toBeNull();
  await enter("a", "main");
  await enter("c", "main", { former: "a" });
  expect(await readBegun(connection, path, ["c"])).toEqual(begun);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});
