import { expect, test } from "vitest";
import { loadStanzaUnits, parseTimers, parseUnitNames, parseUnits } from "../../../runtime/local/stanzaUnits";

/** Output of systemd 252. */
const TIMERS =
  '[{"next":1795244400000000,"left":1795244400000000,"last":1795158000000000,"passed":1,"unit":"pgbackstop-main-full.timer","activates":"pgbackstop-main-full.service"},' +
  '{"next":1795200000000000,"left":0,"last":0,"passed":0,"unit":"pgbackstop-main-verify.timer","activates":"pgbackstop-main-verify.service"},' +
  '{"next":0,"left":0,"last":0,"passed":0,"unit":"pgbackstop-main-heal.timer","activates":"pgbackstop-main-heal.service"},' +
  '{"next":1,"unit":"pgbackstop-other-full.timer"}]';
const FILES = `pgbackstop-main-agent.service    static    -
pgbackstop-main-agent.socket     disabled  enabled
pgbackstop-main-failed@.service  static    -
pgbackstop-main-full.service     static    -
pgbackstop-main-full.timer       enabled   enabled
pgbackstop-main-heal.timer       masked    enabled
pgbackstop-main-run-812.service  transient -
`;
const COMMAND =
  "/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf --stanza=main --config-include-path=${CREDENTIALS_DIRECTORY} backup --type=full";
const SHOWN_252 = `NRestarts=0
ExecStart={ path=/usr/bin/node ; argv[]=${COMMAND} ; ignore_errors=no ; start_time=[Sun 2026-11-29 03:00:04 CET] ; stop_time=[Sun 2026-11-29 03:04:10 CET] ; pid=812 ; code=exited ; status=0 }
Result=success
Id=pgbackstop-main-full.service
LoadState=loaded
ActiveState=inactive
SubState=dead
FragmentPath=/etc/systemd/system/pgbackstop-main-full.service
UnitFileState=static
DropInPaths=

Unit=pgbackstop-main-full.service
Result=success
Id=pgbackstop-main-full.timer
LoadState=loaded
ActiveState=active
SubState=waiting
FragmentPath=/etc/systemd/system/pgbackstop-main-full.timer
DropInPaths=/etc/systemd/system/pgbackstop-main-full.timer.d/override.conf /run/systemd/system/pgbackstop-main-full.timer.d/a.conf
UnitFileState=enabled

Unit=
Result=success
Id=pgbackstop-main-heal.timer
LoadState=masked
ActiveState=inactive
SubState=dead
FragmentPath=/etc/systemd/system/pgbackstop-main-heal.timer
UnitFileState=masked
`;
/** systemd 257 has other properties besides, and commands with flags. */
const SHOWN_257 = `Restart=always
NRestarts=4
ExecStart={ path=/bin/false ; argv[]=/bin/false "a b" ; flags=ignore-failure ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ExecStart={ path=/bin/true ; argv[]=/bin/true ; flags= ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
Result=exit-code
Id=pgbackstop-main-agent.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
FragmentPath=/etc/systemd/system/pgbackstop-main-agent.service
UnitFileState=enabled
UnitFilePreset=enabled
`;

test("lists the timers of a stanza, the next one first", () => {
  expect(parseTimers(TIMERS, "main")).toEqual([
    { name: "verify", nextAtS: 1_795_200_000, lastAtS: null },
    { name: "full", nextAtS: 1_795_244_400, lastAtS: 1_795_158_000 },
    { name: "heal", nextAtS: null, lastAtS: null },
  ]);
});

test("returns none for no timers, and null for another format", () => {
  expect(parseTimers("[]", "main")).toEqual([]);
  for (const text of ["NEXT LEFT\n0 timers listed.", "", '{"unit":"x"}']) expect(parseTimers(text, "main")).toBeNull();
});

test("names the units of a stanza, without templates and those of a single run", () => {
  expect(parseUnitNames(FILES)).toEqual([
    "pgbackstop-main-agent.service",
    "pgbackstop-main-agent.socket",
    "pgbackstop-main-full.service",
    "pgbackstop-main-full.timer",
    "pgbackstop-main-heal.timer",
  ]);
  expect(parseUnitNames("")).toEqual([]);
});

test("reads what systemd 252 and 257 show of units", () => {
  expect(parseUnits(SHOWN_252)).toMatchObject([
    { name: "pgbackstop-main-full.service", activeState: "inactive", fileState: "static", commands: [COMMAND] },
    {
      name: "pgbackstop-main-full.timer",
      starts: "pgbackstop-main-full.service",
      dropIns: [
        "/etc/systemd/system/pgbackstop-main-full.timer.d/override.conf",
        "/run/systemd/system/pgbackstop-main-full.timer.d/a.conf",
      ],
    },
    { name: "pgbackstop-main-heal.timer", loadState: "masked", fileState: "masked", dropIns: [] },
  ]);
  expect(parseUnits(SHOWN_257)).toEqual([
    {
      name: "pgbackstop-main-agent.service",
      loadState: "loaded",
      activeState: "activating",
      subState: "auto-restart",
      fileState: "enabled",
      result: "exit-code",
      restartCount: 4,
      commands: ['/bin/false "a b"', "/bin/true"],
      starts: "",
      file: "/etc/systemd/system/pgbackstop-main-agent.service",
      dropIns: [],
    },
  ]);
  expect(parseUnits("\n")).toEqual([]);
});

interface Answers {
  readonly timers?: string | null;
  readonly files?: string | null;
  readonly shown?: string | null;
  readonly texts?: Readonly<Record<string, string>>;
}

function load(stanza: string, { files = FILES, shown = SHOWN_252, texts = {}, timers = TIMERS }: Answers = {}) {
  return loadStanzaUnits(stanza, {
    systemctl: async ([verb]) => (verb === "list-timers" ? timers : verb === "show" ? shown : files),
    readText: async (path) => texts[path] ?? null,
  });
}

test("joins times, states and files", async () => {
  const path = "/etc/systemd/system/pgbackstop-main-full.timer";
  const read = await load("main", { texts: { [path]: "[Timer]\n" } });
  expect(read?.next.map(({ name }) => name)).toEqual(["verify", "full", "heal"]);
  expect(read?.units).toMatchObject([
    { nextAtS: null, file: { text: null } },
    { nextAtS: 1_795_244_400, file: { path, text: "[Timer]\n" }, dropIns: [{ text: null }, { text: null }] },
    { nextAtS: null },
  ]);
});

test("claims nothing where systemd does not answer", async () => {
  expect(await load("main", { timers: null })).toBeNull();
  expect(await load("main", { shown: null })).toBeNull();
  expect(await load("main", { files: null })).toMatchObject({ units: [] });
});

test("omits units of a stanza whose name begins like this one's", async () => {
  const texts = {
    "/etc/systemd/system/pgbackstop-main-full.service":
      "[Service]\nExecStart=/usr/bin/node r.cjs --stanza=main-full verify\n",
  };
  const read = await load("main", { texts });
  expect(read?.units.map(({ name }) => name)).toEqual(["pgbackstop-main-heal.timer"]);
  expect(read?.next.map(({ name }) => name)).toEqual(["verify", "heal"]);
});
