/** Runbooks: links have targets, each repository has commands, topology values stay text, no secret is needed. */
// claim: docs/runbook.md: the runbook: scenarios, commands, links, roles, no markup from names
import { createHash } from "node:crypto";
import * as fc from "../../../harness/properties";
import { describe, expect, test } from "vitest";
import { runbookOf } from "../../../../components/plan/runbook/databaseRunbook";
import { type Topology, topologyOf } from "../../../../components/plan/topology/topology";
import { parseStackFile } from "../../../../components/plan/topology/stackFiles";
import { checkRunbook, originOf, runbooksOf } from "../../../../components/bin/runbook";
import { joinMeasured, parseMeasured } from "../../../../components/plan/runbook/measured";
import { BUCKET, NAS, R2 } from "../../plans";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { renderRunbook } from "../../../../components/render/runbook/runbookMarkdown";
import { DEFAULT_PEOPLE } from "../../../../components/render/runbook/people";
import type { RunbookScenario } from "../../../../components/plan/runbook/runbookDocument";
import { renderRunbookPage } from "../../../../components/render/runbook/runbookPage";
import { resolved } from "../../clusters";
import { anyTopology, topology } from "../../topologies";

const HOSTILE = "</title><script>alert(1)</script> | [x](https://evil.example) `code` \u202eabc\u0000";
const ORIGIN = "Made of a test.";
const bookOf = (of: Topology) => runbookOf(of) ?? expect.fail("there is no runbook");
const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);
const cluster = (): Topology => JSON.parse(JSON.stringify(topologyOf(resolved().database))) as Topology;

describe("an existing runbook", () => {
  const ledger = bookOf(topology());
  const other = bookOf(topology({ dataDirectory: "/srv/another" }));
  const orders = bookOf(topology({}, "orders"));

  // claim: docs/runbook.md: `--check` detects a stale runbook
  test.each([
    ["Markdown", renderRunbook],
    ["HTML", renderRunbookPage],
  ])("is compared with today's, as %s", (_what, render) => {
    const written = render([ledger, orders], DEFAULT_PEOPLE, ORIGIN);
    expect(checkRunbook(written, [ledger, orders])).toEqual({
      isStale: false,
      lines: ["ledger: up to date", "orders: up to date"],
    });
    const changed = checkRunbook(written, [other, orders]);
    expect(changed?.lines[0]).toBe("ledger: stale, its commands or locations have changed: generate it again");
    expect([changed?.isStale, changed?.lines.length]).toEqual([true, 2]);
    expect(checkRunbook(written, [orders])?.lines).toEqual([
      "orders: up to date",
      "1 database(s) in it no longer exist: generate it again",
    ]);
    expect(checkRunbook(render([ledger], DEFAULT_PEOPLE, ORIGIN), [ledger, orders])?.isStale).toBe(true);
  });

  test("is not recognised without its mark", () => {
    expect(checkRunbook("# Recovery runbook\n", [ledger])).toBeNull();
  });
});

describe("a runbook", () => {
  test("of a standby that archives lets it take its server's place", () => {
    const text = (archive: object): string => renderRunbook([bookOf(topology(archive))], DEFAULT_PEOPLE, ORIGIN);
    expect(text({ archive: "standby" })).toMatch(/pg\\_promote[\s\S]*pgbackstop check/);
    expect(text({ archive: "stream" })).not.toContain("promote");
  });

  test("of a cluster with dumps says how a table comes out of one", () => {
    const dumped = resolved({ dumps: { cron: "30 4 * * *" } }).database;
    const text = renderRunbook([bookOf(topologyOf(dumped))], DEFAULT_PEOPLE, ORIGIN);
    expect(text).toContain(
      'pgbackstop dump-get --database="<DATABASE>" | kubectl exec -i -n orders svc/orders-rw -c postgres -- pg_restore',
    );
    expect(renderRunbook([bookOf(cluster())], DEFAULT_PEOPLE, ORIGIN)).not.toContain("dump-get");
  });

  /** A changed word makes the runbooks of every stack stale: the change belongs into the changelog. */
  test("keeps its words", () => {
    const attached = cluster();
    const books = [
      topology({ streaming: { synchronous: "any", degradeAfterSeconds: 30 }, snapshots: { zfs: {} } }),
      topology({ agent: false, repositories: { repo1: NAS } }),
      { ...attached, databases: attached.databases.map((one) => ({ ...one, attached: true })) },
      topologyOf(resolved({ instances: 1, streaming: { synchronous: "any" } }).database),
      topologyOf(resolved({ engine: "pgbackrest", repositories: { repo1: BUCKET }, drills: {} }).database),
      topologyOf(resolved({ engine: "volumeSnapshot", repositories: {}, drills: {} }).database),
    ].map(bookOf);
    const texts = books.map((book) => renderRunbook([{ ...book, state: "" }], DEFAULT_PEOPLE, ORIGIN));
    expect(texts.map(hashOf)).toMatchInlineSnapshot(`
      [
        "830308105bd5",
        "1126b0be46ae",
        "777bf26aa550",
        "764f44b2d44e",
        "c5d55428a7b7",
        "db9037abd77a",
      ]
    `);
  });

  test("of a host whose commits wait says how to end the wait", () => {
    const waiting = bookOf(topology({ streaming: { synchronous: "any", degradeAfterSeconds: 30 } }));
    const scenario = waiting.scenarios.find(({ id }) => id === "commits");
    expect(scenario?.when).toContain("the wait ends after 30 seconds");
    expect(scenario?.steps.at(-1)?.commands[0]).toContain("ALTER SYSTEM RESET synchronous_standby_names");
    expect(bookOf(topology({ streaming: {} })).scenarios.map(({ id }) => id)).not.toContain("commits");
  });

  test("of a cluster whose commits wait says how to end the wait", () => {
    const waiting = bookOf(topologyOf(resolved({ streaming: { synchronous: "any" } }).database));
    const scenario = waiting.scenarios.find(({ id }) => id === "commits");
    expect(scenario?.when).toContain("Nothing ends the wait by itself");
    expect(scenario?.steps.at(-1)?.commands).toEqual([
      `kubectl patch -n orders cluster orders --type=json -p '[{"op":"remove","path":"/spec/postgresql/synchronous"}]'`,
    ]);
  });

  test("of a host has a scenario for the newest state, a point in time, the second repository, a named set, and each loss", () => {
    const book = bookOf(topology({ objectives: { rpoSeconds: 300, rtoMinutes: 30 } }));
    expect(book.scenarios.map(({ id }) => id)).toEqual([
      "latest",
      "time",
      "table",
      "repository-2",
      "set",
      "host-lost",
      "archiving",
      "repository-1-lost",
      "repository-2-lost",
      "repository-2-attacked",
      "keys-lost",
    ]);
    expect(book.scenarios.flatMap(({ steps }) => steps).flatMap(({ commands }) => commands)).toEqual(
      expect.arrayContaining([
        "sudo pgbackstop recover",
        'sudo pgbackstop recover --type=time --target="<TIME>"',
        "sudo pgbackstop recover --repo=2",
        'sudo pgbackstop find --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"',
        'sudo pgbackstop extract-table --swap --database="<DATABASE>" --table="<SCHEMA>.<TABLE>" <TARGET>',
        "sudo pgbackstop recover --set=<LABEL>",
        "sudo pgbackstop sync --from-repo=2 --to-repo=1",
        "sudo pgbackstop verify --repo=1",
        'sudo pgbackstop info --repo=2 --repo-target-time="<BEFORE>"',
        'sudo pgbackstop recover --repo=2 --repo-target-time="<BEFORE>"',
        'sudo pgbackstop sync --from-repo="2@<BEFORE>" --to-repo=<KEY>',
      ]),
    );
    expect(book.objectives).toContain("RTO declared: 30 minutes");
    const both = bookOf(topology({ objectives: { rtoMinutes: 30, pitrRtoMinutes: 60 } })).objectives;
    expect(both).toContain("RTO declared: 30 minutes for the newest state");
    expect(both).toContain("RTO declared: 60 minutes for a point in time");
    expect(bookOf(topology({ drills: {} })).objectives).toContain("no drills: nobody knows how long a restore takes");
  });

  test("of a host offers an instant recovery where root runs it on the host's own server", () => {
    const offers = (...args: Parameters<typeof topology>): boolean =>
      JSON.stringify(bookOf(topology(...args)).scenarios.find(({ id }) => id === "latest")?.steps).includes(
        "--instant",
      );
    expect(offers()).toBe(true);
    // PostgreSQL's account runs it there.
    expect(offers({ agent: false })).toBe(false);
    expect(offers({ engine: "pgbackrest" })).toBe(false);
  });

  test("of a host whose copies were all on it says that nothing is left", () => {
    const local = { at: { name: "disk", path: "/backup", encrypted: false }, keepDays: 7 };
    const lostOf = (repositories: object): RunbookScenario | undefined =>
      bookOf(topology({ repositories, drills: {} } as never)).scenarios.find(({ id }) => id === "host-lost");
    expect(lostOf({ repo1: local })?.when).toContain("Every copy was on it: repo1 (/backup)");
    expect(JSON.stringify(lostOf({ repo1: local })?.steps)).not.toContain("Point the applications");
    expect(JSON.stringify(lostOf({ repo1: local, repo2: BUCKET })?.steps)).toContain("from repo2 alone");
  });

  test.each([
    ["Markdown", renderRunbook, /<a id="([^"]+)">/g, /\(#([^)]+)\)/g],
    ["HTML", renderRunbookPage, / id="([^"]+)"/g, /href="#([^"]+)"/g],
  ])("of databases whose names are alike has a place for each link, as %s", (_what, render, ids, links) => {
    const like = (name: string, of: Topology): Topology => ({
      ...of,
      databases: of.databases.map((database) => ({ ...database, name })),
    });
    const all = [like("orders", cluster()), like("orders", topology())];
    const books = [...all, topology({}, "orders_db"), topology({}, "orders-db")].map(bookOf);
    const text = render(books, DEFAULT_PEOPLE, ORIGIN);
    const anchors = [...text.matchAll(ids)].map(([, id]) => id);
    expect(new Set(anchors).size).toBe(anchors.length);
    expect(anchors).toEqual(expect.arrayContaining(["orders", "orders-2", "orders-db", "orders-db-2"]));
    const targets = [...text.matchAll(links)].map(([, id]) => id);
    expect(targets.filter((id) => !anchors.includes(id))).toEqual([]);
    expect(new Set(targets).size).toBeGreaterThan(4 * 8);
    expect(text).toContain("orders (cluster)");
    expect(text).toContain("orders (host)");
  });

  test("offers a ZFS snapshot only if there are some", () => {
    expect(bookOf(topology({ snapshots: { zfs: {} } })).scenarios.map(({ id }) => id)).toContain("snapshot");
    expect(bookOf(topology()).scenarios.map(({ id }) => id)).not.toContain("snapshot");
  });

  test("of a cluster creates a new one, and never restores in place", () => {
    const book = bookOf(cluster());
    const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
    expect(commands).toContain('new CnpgRestore("orders-restored", {');
    expect(commands).toContain('  source: { ...orders.source, from: ["repo2"] },');
    expect(commands).toContain('  source: { ...orders.source, target: { time: "<TIME>" } },');
    expect(commands).toContain('  source: { ...orders.source, from: ["repo1"], repositoryTargetTime: "<BEFORE>" },');
    expect(commands.filter((line) => line.includes("recover "))).toEqual([]);
  });

  test("of a cluster with snapshots alone leads to them, and to nothing that needs an archive", () => {
    const { database } = resolved({
      engine: "volumeSnapshot",
      repositories: {},
      schedules: { full: { cron: "0 3 * * 0" } },
      drills: {},
    });
    const book = bookOf(JSON.parse(JSON.stringify(topologyOf(database))) as Topology);
    expect(book.scenarios.map(({ id }) => id)).toEqual(["failover", "instance-lost", "snapshot", "asleep"]);
    expect(book.decisions.flatMap(({ answers }) => answers).map(({ scenario }) => scenario)).toEqual([
      "failover",
      "instance-lost",
      "snapshot",
    ]);
    const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
    expect(commands.filter((line) => /pgbackstop|plugin:|repo1/.test(line))).toEqual([]);
    expect(commands).toContain('  namespace: "orders", engine: "volumeSnapshot", like: orders.like,');
    expect([book.measuredBy, book.keys]).toEqual([null, []]);
  });

  test("is not made while the database itself is unknown, and names unknown values of a repository", () => {
    const whole = cluster();
    expect(
      runbookOf({ ...whole, databases: whole.databases.map((one) => ({ ...one, namespace: unknownMarker(0) })) }),
    ).toBeNull();
    const hidden = {
      ...whole,
      repositories: whole.repositories.map((one) => ({ ...one, location: unknownMarker(0) })),
    };
    expect(renderRunbook([bookOf(hidden)], DEFAULT_PEOPLE, ORIGIN)).toContain("not known yet");
  });

  test("of any topology leads from each answer to a scenario, in both formats", () => {
    fc.assert(
      fc.property(anyTopology, (made) => {
        const book = bookOf(made);
        const ids = book.scenarios.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(
          book.decisions.flatMap(({ answers }) => answers).filter(({ scenario }) => !ids.includes(scenario)),
        ).toEqual([]);
        for (const text of [
          renderRunbook([book], DEFAULT_PEOPLE, ORIGIN),
          renderRunbookPage([book], DEFAULT_PEOPLE, ORIGIN),
        ]) {
          const links = [...text.matchAll(/(?:\(|href=")#([^")]+)/g)].map(([, name]) => name);
          expect(links.filter((name) => !text.includes(`id="${name}"`))).toEqual([]);
          expect(text).not.toContain("undefined");
          // Every placeholder is explained.
          const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
          const args = commands.flatMap((command) => command.match(/<[A-Z]+>/g) ?? []);
          expect(args.filter((arg) => !book.placeholders.some((each) => each.name === arg))).toEqual([]);
        }
      }),
      { numRuns: 100 },
    );
  });

  test("has each command on its own line, in both formats", () => {
    const book = bookOf(cluster());
    const [failover] = book.scenarios;
    const lines = failover?.steps.find(({ commands }) => commands.length > 1)?.commands ?? [];
    expect(lines).toHaveLength(2);
    const page = renderRunbookPage([book], DEFAULT_PEOPLE, ORIGIN).replaceAll(/<\/?span>/g, "");
    expect(page).toContain(`<pre class="sh">${lines.map((line) => `<code>${line}</code>`).join("\n")}</pre>`);
    expect(renderRunbook([book], DEFAULT_PEOPLE, ORIGIN)).toContain(`\n   ${lines.join("\n   ")}\n`);
  });

  test("treats topology values as text only", () => {
    const made = topology({ drills: { [HOSTILE]: { cron: "0 5 * * 6", from: "repo2" } } }, HOSTILE);
    const book = bookOf(made);
    const page = renderRunbookPage([book], { ...DEFAULT_PEOPLE, roles: { [HOSTILE]: HOSTILE } }, HOSTILE);
    expect(page).not.toContain("<script>");
    const text = renderRunbook([book], { ...DEFAULT_PEOPLE, roles: { [HOSTILE]: HOSTILE } }, HOSTILE);
    expect(text).not.toContain("<script>");
    expect(text).not.toContain("](https://evil");
    expect(text).not.toContain("\u202e");
  });

  test("names each role's holder, and leaves space for missing names", () => {
    const people = {
      roles: { "Incident Lead": "Ada", "Vendor contact": "support@example.com" },
      internalMinutes: 10,
      externalMinutes: 60,
    };
    const text = renderRunbook([bookOf(topology())], people, ORIGIN);
    expect(text).toContain("| Incident Lead | chooses the scenario, and declares the end | Ada |");
    expect(text).toContain("| Comms Lead | keeps others informed | (nobody is named) |");
    expect(text).toContain("Vendor contact");
    expect(text).toContain("| every 10 minutes, internal |");
    expect(text).toContain("| every 60 minutes, external |");
  });

  test.each([
    ["pgbackrest", "pgbackrest.dalibo.com"],
    ["barman-cloud", "barman-cloud.cloudnative-pg.io"],
  ])("of a cluster with engine %s uses that engine's commands, and none of a missing sidecar", (engine, plugin) => {
    const repositories =
      engine === "barman-cloud"
        ? { repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false } } }
        : { repo1: BUCKET, repo2: R2 };
    const { database } = resolved({ engine, repositories, drills: {} });
    const book = bookOf(JSON.parse(JSON.stringify(topologyOf(database))) as Topology);
    const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
    expect(commands.filter((line) => /plugin-pgbackstop|plugin: plugin/.test(line))).toEqual([]);
    expect(commands).toContain(`  namespace: "orders", engine: "${engine}", like: orders.like,`);
    expect(
      commands.some(
        (line) => line.includes(`"pluginConfiguration":{"name":"${plugin}"`) && line.endsWith("| kubectl create -f -"),
      ),
    ).toBe(true);
    expect(book.measuredBy).toBeNull();
    expect(book.keys[0]).toContain("Secret orders-repo1 of namespace orders");
    if (engine === "barman-cloud")
      expect(book.keys).toContainEqual(expect.stringContaining("this engine does not encrypt"));
  });

  // claim: docs/drills.md: a drill can be…
  test("states how and where to make each declared drill at once", () => {
    const weekly = { cron: "0 5 * * 6", from: "repo2" };
    const drills = { weekly, away: { ...weekly, elsewhere: true }, [HOSTILE]: weekly };
    expect(bookOf(topology({ drills })).drilledBy).toEqual([
      "sudo pgbackstop drill --name=weekly",
      "sudo pgbackstop drill --name=away   # on the host that its FireDrill declares",
    ]);
    const { database } = resolved({ drills: { weekly } });
    const book = bookOf(JSON.parse(JSON.stringify(topologyOf(database))) as Topology);
    const command = "kubectl create job -n orders --from=cronjob/orders-drill-weekly orders-drill-weekly-now";
    expect(book.drilledBy).toEqual([command]);
    expect(renderRunbook([book], DEFAULT_PEOPLE, ORIGIN)).toContain(`\n\n\`\`\`sh\n${command}\n\`\`\``);
    expect(renderRunbookPage([book], DEFAULT_PEOPLE, ORIGIN).replaceAll(/<\/?span>/g, "")).toContain(
      `<code>${command}</code>`,
    );
  });

  test("of two databases has a part for each, and names the drills of both", () => {
    const books = [bookOf(topology({ drills: { weekly: { cron: "0 5 * * 6", from: "repo2" } } })), bookOf(cluster())];
    const text = renderRunbook(books, DEFAULT_PEOPLE, ORIGIN);
    expect(text).toContain("Databases: [ledger](#ledger), [orders](#orders)");
    expect(text.match(/^### Measurements$/gm)).toHaveLength(2);
    expect(books.map(({ objectives }) => objectives.at(-1))).toEqual(
      Array(2).fill("drilled: weekly (0 5 * * 6, from repo2)"),
    );
    expect(text.match(/^## Who$/gm)).toHaveLength(1);
    expect(new Set(books.map(({ state }) => state)).size).toBe(2);
    for (const { state } of books) expect(text).toContain(`State of this runbook: \`${state}\``);
    const ids = [...renderRunbookPage(books, DEFAULT_PEOPLE, ORIGIN).matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  // claim: docs/runbook.md: the runbook: measurements have…
  test("has another state after any change of the topology", () => {
    expect(bookOf(topology()).state).toMatch(/^[0-9a-f]{12}$/);
    expect(bookOf(topology()).state).toBe(bookOf(topology()).state);
    expect(bookOf(topology({ schedules: {} })).state).not.toBe(bookOf(topology()).state);
  });

  test("of a host without the launcher has commands that work there", () => {
    const directories = { config: "/opt/pg/etc", units: "/opt/pg/units", lib: "/opt/my lib" };
    const book = bookOf(topology({ agent: false, directories }));
    const program =
      "sudo -u postgres /usr/bin/node '/opt/my lib/runtime.cjs' --config=/opt/pg/etc/pgbackrest.conf --config-include-path=/opt/pg/etc/conf.d --stanza=main";
    const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
    expect(commands).toContain(`${program} recover`);
    expect(commands.filter((line) => /sudo pgbackstop|journalctl/.test(line))).toEqual([]);
    expect(book.keys.join()).toContain("on the host below /opt/pg/etc/conf.d");
    const [away] = bookOf(topology({ directories: { bin: "/opt/bin" } })).scenarios;
    expect(away?.steps[0]?.commands).toEqual(["sudo /opt/bin/pgbackstop status"]);
  });

  test("names the files of secrets that another tool brings to the host", () => {
    const repo2 = { ...BUCKET, secretFiles: { options: "/run/secrets/r2.conf", passphrase: "/run/secrets/pass" } };
    const { keys } = bookOf(topology({ repositories: { repo1: NAS, repo2 } }));
    expect(keys).toContain(
      "repo2: the key of the service is in the source of these files, and on the host in /run/secrets/r2.conf, /run/secrets/pass",
    );
  });
});

describe("drills' measurements", () => {
  const AT_S = Date.UTC(2026, 10, 18, 5, 4) / 1000;
  const status = (stanza: string, drill: object | null): string =>
    JSON.stringify({
      ok: true,
      repos: [
        { key: 1, drill },
        { key: 2, drill: null },
      ],
      stanza,
      version: 1,
    });
  const objectives = { rpoSeconds: 300, rtoMinutes: 30 };

  test("of a point in time stand beside its own objective", () => {
    const rtoOf = (pick: string): string | undefined => {
      const drill = { ended: AT_S, id: "x", ok: true, pick, rtoMs: 2_700_000, rpo: null };
      const of = topology({ objectives: { ...objectives, pitrRtoMinutes: 60 } });
      return runbookOf(of, parseMeasured(status("main", drill)))?.measured?.[0]?.rto;
    };
    expect(rtoOf("newest")).toBe("45 min (declared: 30 min, MISSED)");
    expect(rtoOf("moment")).toBe("45 min (declared: 1 h)");
  });

  // claim: docs/runbook.md: the runbook: measurements have their time, and are never made up; its state changes with
  //   the topology
  test("are shown with their time, beside the objectives; with the location of the newest figures", () => {
    const drill = {
      ended: AT_S,
      id: "x",
      ok: true,
      rtoMs: 252_000,
      rpo: { ended: AT_S - 7 * 86_400, method: "heartbeat", seconds: 412.3 },
    };
    const book =
      runbookOf(topology({ objectives }), parseMeasured(status("main", drill))) ?? expect.fail("there is no runbook");
    expect(book.measured).toEqual([
      {
        repository: "repo1",
        drill: "passed 2026-11-18 05:04 UTC",
        rto: "4 min 12 s (declared: 30 min)",
        rpo: "6 min 52 s (declared: 5 min, MISSED), by heartbeat, 2026-11-11 05:04 UTC",
      },
      { repository: "repo2", drill: "never", rto: "not known", rpo: "not known" },
    ]);
    const text = renderRunbook([book], DEFAULT_PEOPLE, ORIGIN);
    expect(text).toContain("| repo1 | passed 2026-11-18 05:04 UTC | 4 min 12 s (declared: 30 min) | 6 min 52 s");
    expect(text).toContain("As of those times. The newest figures:\n\n```sh\nsudo pgbackstop status\n```");
    expect(renderRunbookPage([book], DEFAULT_PEOPLE, ORIGIN)).toContain("passed 2026-11-18 05:04 UTC");
  });

  // claim: docs/runbook.md: the runbook: measurements have…
  test("are not made up without data", () => {
    const text = renderRunbook([bookOf(topology())], DEFAULT_PEOPLE, ORIGIN);
    expect(text).toContain("No figures were given.");
    expect(text).toContain("sudo pgbackstop status");
  });

  test("come from records of drills too: the newest of each repository, and the newest with RPO", () => {
    const record = (repo: number, endedAtS: number, more: object): string =>
      JSON.stringify({
        version: 1,
        id: "x",
        stanza: "main",
        repo,
        startedAtS: endedAtS - 60,
        endedAtS,
        ok: true,
        rtoMs: 9_000,
        rpo: null,
        ...more,
      });
    const texts = [
      record(1, AT_S, { ok: false, rtoMs: null }),
      record(1, AT_S - 86_400, { rpo: { seconds: 0.8, method: "commit", lostWalBytes: null } }),
      record(2, AT_S - 5, {}),
    ];
    const joined = joinMeasured(texts.map(parseMeasured));
    const { measured } = runbookOf(topology(), joined) ?? expect.fail("there is no runbook");
    expect(measured).toEqual([
      {
        repository: "repo1",
        drill: "FAILED 2026-11-18 05:04 UTC",
        rto: "it did not open",
        rpo: "0.8 s, by commit, 2026-11-17 05:04 UTC",
      },
      { repository: "repo2", drill: "passed 2026-11-18 05:03 UTC", rto: "9 s", rpo: "not measured" },
    ]);
  });

  test.each([
    ["", "this is not JSON"],
    ["[]", "not an object"],
    ["{}", "neither of pgbackstop status"],
    ['{"stanza":"main","version":2,"repos":[]}', "version 2 of the measurements is unknown"],
    ['{"stanza":"main","version":1}', "no repository or no time"],
    ['{"stanza":"main","version":1,"repos":[{}]}', "a repository of this status has no key"],
    ['{"stanza":"main","version":1,"repos":[{"key":1,"drill":{"ended":1e300}}]}', "the drill of repo1 has no time"],
  ])("are refused if invalid: %s", (text, message) => {
    expect(() => parseMeasured(text)).toThrow(message);
  });

  test("from a file belong to the database with its stanza, or by the name where two have the same", () => {
    const file = { kind: "export", before: null, findings: [] } as const;
    const after = new Map([
      ["ledger", topology()],
      ["orders", cluster()],
    ]);
    const drill = { ended: AT_S, ok: true, rtoMs: 1000, rpo: null };
    const result = runbooksOf({ ...file, after }, [{ name: "a.json", text: status("orders", drill) }]);
    expect(result.map(({ measured }) => measured?.[0]?.drill)).toEqual([undefined, "passed 2026-11-18 05:04 UTC"]);
    expect(() => runbooksOf({ ...file, after }, [{ name: "a.json", text: status("other", drill) }])).toThrow(
      "which no database here has",
    );
    const twins = new Map([
      ["ledger", topology()],
      ["books", topology({}, "books")],
    ]);
    const text = status("main", drill);
    expect(() => runbooksOf({ ...file, after: twins }, [{ name: "a.json", text }])).toThrow(
      "name the database with --measured=NAME=FILE",
    );
    const named = runbooksOf({ ...file, after: twins }, [{ name: "ledger=a.json", text }]);
    expect(named.map(({ measured, name }) => [name, measured !== null])).toEqual([
      ["books", false],
      ["ledger", true],
    ]);
    expect(() => runbooksOf({ ...file, after }, [{ name: "ledger=a.json", text: status("orders", drill) }])).toThrow(
      "which is not that of ledger",
    );
  });

  test("of an export states the time of the stack's state", () => {
    const manifest = { time: "2026-11-20T07:40:59+01:00" };
    const text = JSON.stringify({ version: 3, deployment: { manifest, resources: [] } });
    expect(originOf(parseStackFile(text))).toBe(
      "Generated from the stack after its update of 2026-11-20T06:40:59.000Z.",
    );
  });
});
