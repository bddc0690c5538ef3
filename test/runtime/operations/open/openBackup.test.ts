import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openBackup, type OpenRequest, type OpenTools } from "../../../../runtime/operations/open/openBackup";
import { findProcess, openLocation, type OpenState, saveState } from "../../../../runtime/operations/open/openLocation";
import { findOpened, listOpened, saveOpened } from "../../../../runtime/operations/open/openedRecords";
import { testContext } from "../../../harness/context";
import { fuseMissing } from "../../../harness/real/openedBackup";
import { temporaryFolder } from "../../repository/support";
import { OPENED, RECOVERY } from "./upperWorld";

const SELF = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const TIME = "2026-11-20 06:40:00+00";

type Recovery = OpenState["recovery"];
const TO_TIME: Recovery = { ...RECOVERY, type: "time", target: TIME };

function stateOf(more: Partial<OpenState>): OpenState {
  return {
    version: 1,
    stanza: "main",
    account: SELF,
    madeDirectory: true,
    recovery: TO_TIME,
    fetchesAll: false,
    phase: "used",
    backup: OPENED,
    ...more,
  };
}

function requestOf(at: string, more: Partial<OpenRequest>): OpenRequest {
  return {
    at,
    stanza: "main",
    account: SELF,
    recovery: RECOVERY,
    named: { set: undefined, isTarget: false },
    fetchesAll: false,
    limitsCache: false,
    server: null,
    spoolPath: `${at}.spool`,
    self: { pid: process.pid, execId: "1-00000000" },
    ...more,
  };
}

/** The serving process ends at once. */
function toolsThat(started: () => void): OpenTools {
  return {
    untilDecided: () => Promise.resolve(),
    startServing: () => {
      started();
      return { ended: Promise.resolve(1) };
    },
    program: () => Promise.resolve({ exitCode: 0, stdout: "", stderr: "" }) as never,
  };
}

/** Opens a directory in this state; the error says what became of it. */
async function opens(
  state: Partial<OpenState>,
  request: Partial<OpenRequest>,
  started = (): void => {},
): Promise<string> {
  const location = openLocation(join(temporaryFolder(), "past"));
  await saveState(location, stateOf(state)).catch(() => {});
  const opening = openBackup(
    requestOf(location.at, request),
    toolsThat(() => started()),
    testContext(),
  );
  return opening.then(
    () => "open",
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

// claim: docs/open.md: an `open` that begins while `expire` runs…
test("records itself, waits while expire decides, and then chooses", async (context) => {
  if (fuseMissing() !== null) return context.skip();
  const location = openLocation(join(temporaryFolder(), "past"));
  const spoolPath = `${location.at}.spool`;
  const order: string[] = [];
  const tools: OpenTools = {
    ...toolsThat(() => order.push("choice")),
    untilDecided: async () => {
      const [record] = await listOpened(spoolPath, "main", "");
      order.push(`${record?.at === location.at} ${record?.label}`);
    },
  };
  const opening = openBackup(requestOf(location.at, { spoolPath }), tools, testContext());
  await expect(opening).rejects.toThrow("unable to open the backup: exit code 1");
  expect(order).toEqual(["true null", "choice"]);
});

describe("open of a directory that was open before", () => {
  // claim: docs/open.md: another open continues with the backup and the target of the first, and refuses others
  test.each<readonly [string, Partial<OpenRequest>]>([
    ["stanza", { stanza: "other" }],
    ["backup", { named: { set: "20261119-020000F", isTarget: false } }],
    [
      "target",
      { recovery: { ...TO_TIME, target: "2026-11-20 07:00:00+00" }, named: { set: undefined, isTarget: true } },
    ],
    ["kind of target", { recovery: { ...RECOVERY, type: "immediate" }, named: { set: undefined, isTarget: true } }],
    ["timeline", { recovery: { ...TO_TIME, targetTimeline: "2" }, named: { set: undefined, isTarget: true } }],
  ])("refuses another %s, in words", async (_, request) => {
    for (const phase of ["prepared", "used"] as const)
      expect(await opens({ phase }, request)).toContain(
        `holds what was opened with --stanza=main --set=20261120-020000F --type=time --target='${TIME}'`,
      );
  });

  test("refuses one that becomes a plain data directory, whatever is asked for, and says how to go on", async () => {
    for (const request of [{}, { recovery: TO_TIME }, { fetchesAll: true }])
      expect(await opens({ phase: "moving" }, request, expect.unreachable)).toContain("becomes a plain data directory");
  });

  test("continues with what it holds, named or not", async (context) => {
    if (fuseMissing() !== null) return context.skip();
    const same = { set: "20261120-020000F", isTarget: true };
    for (const request of [{}, { recovery: TO_TIME, named: same }])
      expect(await opens({}, request)).toContain("unable to open the backup: exit code 1");
  });

  // claim: docs/open.md: open does not begin again where the files of an opened backup are missing
  test("is refused where its files are missing, and leaves the record and no folder", async () => {
    const folder = temporaryFolder();
    const location = openLocation(join(folder, "past"));
    const spoolPath = join(folder, "spool");
    await saveOpened(spoolPath, location.at, stateOf({}));
    const opening = openBackup(requestOf(location.at, { spoolPath }), toolsThat(expect.unreachable), testContext());
    await expect(opening).rejects.toThrow(`its files in '${location.folder}' are missing`);
    expect(existsSync(location.folder)).toBe(false);
    expect(await findOpened(spoolPath, "main", location.at)).toMatchObject({ label: "20261120-020000F" });
  });

  test("knows a serving process that has the number of an earlier one", async (context) => {
    if (fuseMissing() !== null) return context.skip();
    const location = openLocation(join(temporaryFolder(), "past"));
    const state = stateOf({ server: { pid: process.pid, startTicks: 1 } });
    await saveState(location, state);
    // Nothing can be mounted there.
    writeFileSync(location.at, "");
    const tools: OpenTools = {
      ...toolsThat(() => {}),
      startServing: () => {
        const server = findProcess(process.pid);
        const text = JSON.stringify({ ...state, server });
        writeFileSync(join(location.folder, "open.json"), text);
        return { ended: new Promise(() => {}) };
      },
    };
    const opening = openBackup(requestOf(location.at, {}), tools, testContext());
    await expect(opening).rejects.toThrow("EEXIST");
  });

  // claim: docs/open.md: root mounts on the directory itself, and follows no link that comes into its place
  test.each(["the directory", "the one above it"])(
    "mounts nothing if %s becomes a link while it prepares",
    async (which) => {
      if (fuseMissing() !== null) return;
      const folder = realpathSync(temporaryFolder());
      const [above, victim] = [join(folder, "above"), join(folder, "victim")];
      const location = openLocation(join(above, "past"));
      mkdirSync(location.at, { recursive: true });
      mkdirSync(join(victim, "past"), { recursive: true });
      const state = stateOf({ madeDirectory: false });
      await saveState(location, state);
      const tools: OpenTools = {
        ...toolsThat(() => {}),
        startServing: () => {
          const text = JSON.stringify({ ...state, server: findProcess(process.pid) });
          writeFileSync(join(location.folder, "open.json"), text);
          const swapped = which === "the directory" ? location.at : above;
          renameSync(swapped, `${swapped}.real`);
          symlinkSync(which === "the directory" ? join(victim, "past") : victim, swapped);
          if (swapped === above)
            cpSync(`${above}.real/past.pgbackstop`, `${victim}/past.pgbackstop`, { recursive: true });
          return { ended: new Promise(() => {}) };
        },
      };
      try {
        const opening = openBackup(requestOf(location.at, { spoolPath: join(folder, "spool") }), tools, testContext());
        await expect(opening).rejects.toMatchObject({ kind: "pathOpen" });
        expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(victim);
      } finally {
        if (readFileSync("/proc/self/mountinfo", "utf8").includes(victim))
          execFileSync("umount", ["-l", join(victim, "past")]);
      }
    },
  );

  test("takes what is asked for if nothing of it was usable", async (context) => {
    if (fuseMissing() !== null) return context.skip();
    const location = openLocation(join(temporaryFolder(), "past"));
    await saveState(location, stateOf({ phase: "preparing", fetchesAll: true }));
    let seen: OpenState | undefined;
    const tools = toolsThat(() => {
      seen = JSON.parse(readFileSync(join(location.folder, "open.json"), "utf8")) as OpenState;
    });
    const recovery: Recovery = { ...RECOVERY, type: "immediate" };
    const request = requestOf(location.at, { recovery, named: { set: undefined, isTarget: true }, limitsCache: true });
    await expect(openBackup(request, tools, testContext())).rejects.toThrow("unable to open the backup");
    expect([seen?.recovery.type, seen?.recovery.target, seen?.fetchesAll]).toEqual(["immediate", undefined, false]);
  });
});
