import { beforeEach, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { checkCommand } from "../../../../runtime/commands/setup/check";
import { doctorCommand } from "../../../../runtime/commands/setup/doctor";
import { statusCommand } from "../../../../runtime/commands/watch/status";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { type TestContext, testContext } from "../../../harness/context";
import { CONTROL, repository, temporaryFolder } from "../../repository/support";
import { host, type TestHost } from "../support";

const TIMER = "pgbackstop-demo-full.timer";
const STOPPED = `${TIMER} is stopped: systemd does not start its service`;
const SHOWN = `Unit=pgbackstop-demo-full.service
Id=${TIMER}
LoadState=loaded
ActiveState=inactive
SubState=dead
FragmentPath=/etc/systemd/system/${TIMER}
UnitFileState=enabled
`;

let repos: Repository[];
let ctx: TestContext;

beforeEach(async () => {
  repos = [1, 2].map((key) => repository(key, { storage: new MemoryStorage() }));
  ctx = testContext();
  await stanzaCreate(repos, CONTROL, ctx);
});

/** A host whose systemd knows one timer. */
function made(argv: readonly string[], exitCode = 0): TestHost {
  const folder = temporaryFolder();
  const facts = {
    dataDirectory: `${folder}/data`,
    archiveMode: "on",
    archiveCommand: "pgbackrest",
    inRecovery: true,
  };
  const answers: Readonly<Record<string, string>> = {
    "list-timers": "[]",
    "list-unit-files": `${TIMER} enabled enabled\n`,
    show: SHOWN,
  };
  return {
    ...host({ argv, repos, ctx, folder, session: { facts: async () => facts as never } }),
    program: async ([program, verb = ""]) => {
      expect(program).toBe("systemctl");
      return { exitCode, stdout: answers[verb] ?? "", stderr: "" };
    },
  };
}

test("status, check and doctor end with an error for a timer that systemd does not run", async () => {
  const status = made(["status", "--output=json"]);
  expect(await statusCommand(status)).toBe(104);
  expect(JSON.parse(status.printed.join(""))).toMatchObject({
    notLookedAt: [],
    troubles: [{ error: "ExecuteError", message: STOPPED }],
  });
  await expect(checkCommand(made(["check"]))).rejects.toMatchObject({
    message: STOPPED,
    hints: [`systemctl enable --now ${TIMER}`],
  });
  const doctor = made(["doctor"]);
  await expect(doctorCommand(doctor)).rejects.toMatchObject({ message: STOPPED });
  expect(doctor.printed.join("")).toContain(`host\n  FAIL units: ${STOPPED}\n`);
});

// claim: docs/hosts/status.md: what a run could not look at is listed, and is no trouble
test("without an answer of systemd they claim nothing, and say so", async () => {
  const notLookedAt = "units: no systemd (248 or newer) answers for this stanza";
  const status = made(["status", "--output=json"], 1);
  await statusCommand(status);
  expect(JSON.parse(status.printed.join(""))).toMatchObject({ next: null, notLookedAt: [notLookedAt], troubles: [] });
  expect(await checkCommand(made(["check"], 1))).toBe(0);
  expect(ctx.lines.map(({ text }) => text)).toContain(`not looked at: ${notLookedAt}`);
  const doctor = made(["doctor", "--output=json"], 1);
  expect(await doctorCommand(doctor)).toBe(0);
  expect(JSON.parse(doctor.printed.join(""))).toMatchObject({
    host: [{ name: "not looked at", verdict: "skip", text: notLookedAt }],
  });
});

test("status says that a server whose container is gone was not looked at", async () => {
  const status = Object.defineProperty(made(["status", "--output=json"], 1), "dataDirectory", {
    get: () => {
      throw fail("dbConnect", "there is no container 'db'");
    },
  });
  await statusCommand(status);
  const { notLookedAt } = JSON.parse(status.printed.join("")) as { notLookedAt: string[] };
  expect(notLookedAt[0]).toBe("server: its container is gone, or hides its data");
});

test("an update checks before it starts the timers, and the stale check names them", async () => {
  expect(await checkCommand(made(["check", "--no-full-check"]))).toBe(0);
  await expect(checkCommand(made(["check", "--stale", "--no-archive-check"]))).rejects.toMatchObject({
    exitCode: 75,
    message: `backups, dumps or WAL are too old, or will be:\n[ExecuteError] ${STOPPED}`,
  });
});
