/** Runbooks: every link leads somewhere, every repository has its commands, nothing in a topology is more than text, no secret is needed. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { runbookOf } from "../../../../components/plan/runbook";
import { type Topology, topologyOf } from "../../../../components/plan/topology";
import { unknownMarker } from "../../../../components/plan/unknown";
import { DEFAULT_PEOPLE, renderRunbook } from "../../../../components/render/runbook/markdown";
import { renderRunbookPage } from "../../../../components/render/runbook/page";
import { resolved } from "../../clusters";
import { anyTopology, topology } from "../../topologies";

const HOSTILE = "</title><script>alert(1)</script> | [x](https://evil.example) `code` \u202eabc\u0000";
const bookOf = (of: Topology) => runbookOf(of) ?? expect.fail("there is no runbook");
const cluster = (): Topology => JSON.parse(JSON.stringify(topologyOf(resolved().plan))) as Topology;

describe("a runbook", () => {
  test("of a host has a scenario for the newest state, a moment, the second repository, a named set, and each loss", () => {
    const book = bookOf(topology({ objectives: { rpoSeconds: 300, rtoMinutes: 30 } }));
    expect(book.scenarios.map(({ id }) => id)).toEqual([
      "latest",
      "time",
      "repository-2",
      "set",
      "host-lost",
      "repository-1-lost",
      "repository-2-lost",
    ]);
    expect(book.scenarios.flatMap(({ steps }) => steps).flatMap(({ commands }) => commands)).toEqual(
      expect.arrayContaining([
        "sudo pgbackstop recover",
        'sudo pgbackstop recover --type=time --target="<TIME>"',
        "sudo pgbackstop recover --repo=2",
        "sudo pgbackstop recover --set=<LABEL>",
        "sudo pgbackstop sync --from-repo=2 --to-repo=1",
        "sudo pgbackstop verify --repo=1",
      ]),
    );
    expect(book.objectives).toContain("RTO declared: 30 minutes");
    expect(bookOf(topology({ drills: {} })).objectives).toContain("nothing is drilled: what a restore takes is not known");
  });

  test("offers a ZFS snapshot only where there are some", () => {
    expect(bookOf(topology({ snapshots: { zfs: {} } })).scenarios.map(({ id }) => id)).toContain("snapshot");
    expect(bookOf(topology()).scenarios.map(({ id }) => id)).not.toContain("snapshot");
  });

  test("of a cluster makes a new one, and never restores in place", () => {
    const book = bookOf(cluster());
    const commands = book.scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
    expect(commands).toContain('new CnpgRestore("orders-restored", {');
    expect(commands).toContain('  source: { ...orders.source, from: ["repo2"] },');
    expect(commands).toContain('  source: { ...orders.source, target: { time: "<TIME>" } },');
    expect(commands.filter((line) => line.includes("recover "))).toEqual([]);
  });

  test("of a cluster with snapshots alone leads to them, and to nothing that needs an archive", () => {
    const { plan } = resolved({ engine: "volumeSnapshot", repositories: {}, schedules: { full: { cron: "0 3 * * 0" } }, drills: {} });
    const book = bookOf(JSON.parse(JSON.stringify(topologyOf(plan))) as Topology);
    expect(book.scenarios.map(({ id }) => id)).toEqual(["failover", "snapshot"]);
    expect(book.decisions.flatMap(({ answers }) => answers).map(({ scenario }) => scenario)).toEqual(["failover", "snapshot"]);
  });

  test("is not made while the database itself is not known, and says what is not known of a place", () => {
    const whole = cluster();
    expect(runbookOf({ ...whole, databases: whole.databases.map((one) => ({ ...one, namespace: unknownMarker(0) })) })).toBeNull();
    const hidden = { ...whole, repositories: whole.repositories.map((one) => ({ ...one, location: unknownMarker(0) })) };
    expect(renderRunbook([bookOf(hidden)], DEFAULT_PEOPLE)).toContain("not known yet");
  });

  test("of whatever topology leads from each answer to a scenario, in both formats", () => {
    fc.assert(
      fc.property(anyTopology, (made) => {
        const book = bookOf(made);
        const ids = book.scenarios.map(({ id }) => id);
        expect(new Set(ids).size).toBe(ids.length);
        expect(book.decisions.flatMap(({ answers }) => answers).filter(({ scenario }) => !ids.includes(scenario))).toEqual([]);
        for (const text of [renderRunbook([book], DEFAULT_PEOPLE), renderRunbookPage([book], DEFAULT_PEOPLE)]) {
          const links = [...text.matchAll(/(?:\(|href=")#([^")]+)/g)].map(([, name]) => name);
          expect(links.filter((name) => !text.includes(`id="${name}"`))).toEqual([]);
          expect(text).not.toContain("undefined");
        }
      }),
      { numRuns: 100 },
    );
  });

  test("takes nothing of a topology for more than text", () => {
    const made = topology({ drills: { [HOSTILE]: { cron: "0 5 * * 6", from: "repo2" } } }, HOSTILE);
    const book = bookOf(made);
    const page = renderRunbookPage([book], { ...DEFAULT_PEOPLE, roles: { [HOSTILE]: HOSTILE } });
    expect(page).not.toContain("<script>");
    const text = renderRunbook([book], { ...DEFAULT_PEOPLE, roles: { [HOSTILE]: HOSTILE } });
    expect(text).not.toContain("<script>");
    expect(text).not.toContain("](https://evil");
    expect(text).not.toContain("\u202e");
  });

  test("names who has which role, and leaves room where nobody is named", () => {
    const people = { roles: { "Incident Lead": "Ada", "Vendor contact": "support@example.com" }, internalMinutes: 10, externalMinutes: 60 };
    const text = renderRunbook([bookOf(topology())], people);
    expect(text).toContain("| Incident Lead | decides which scenario it is, and when it is over | Ada |");
    expect(text).toContain("| Comms Lead | tells the others how it stands | (nobody is named) |");
    expect(text).toContain("Vendor contact");
    expect(text).toContain("every 10 minutes, those outside every 60 minutes");
  });
});
