/** Updates that are killed, on a host in a folder. test/hosts/converge.test.ts has a real one. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { type DesiredHost, PartlyApplied } from "../../../components/host/converge";
import type { DesiredFile } from "../../../components/host/desiredFiles";
import type { HostOutcome } from "../../../components/host/hostIdentity";
import { ConvergedHost, OWNER } from "../../harness/hosts/convergedHost";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

let host: ConvergedHost;
afterEach(() => host.remove());

const more = (): DesiredFile => ({ path: host.path("etc", "more"), mode: "0600", owner: "admin", content: "x" });

/** The state that the engine keeps if the program dies. */
const converged = async (): Promise<HostOutcome> => {
  const outcome = await host.converge(host.desired());
  expect(outcome.ready).toBe(true);
  host.verbs();
  return outcome;
};

// claim: docs/hosts/updates.md: a killed update leaves a mark, so the next one repeats check and backup
test("the next update takes the backup after the gap, although the settings are as declared", async () => {
  host = new ConvergedHost();
  const desired = host.desired();
  const known = await converged();
  host.change({ automatic: {} });
  const drifted = await host.refresh(desired, known);
  expect(drifted).toMatchObject({ ready: true, settingFacts: { archive_command: "another value" } });
  await expect(host.converge(desired, drifted, " backup ")).rejects.toThrow("killed");
  expect(host.verbs()).toEqual(["pg-settings stdin", "stanza-create", "check --no-full-check"]);
  // Also if a refresh comes first: it must leave the update something to do.
  expect(await host.refresh(desired, known)).toMatchObject({ ready: false });
  const outcome = await host.converge(desired, drifted);
  expect(host.verbs()).toEqual(["stanza-create", "check --no-full-check", "backup --type=incr"]);
  await host.converge(desired, outcome);
  expect(host.commands).toHaveLength(1);
  expect(await host.refresh(desired, outcome)).toMatchObject({ ready: true });
});

test("the next update checks the host again, although the killed one had written every file", async () => {
  host = new ConvergedHost();
  const known = await converged();
  const next = host.desired({}, [
    { path: host.path("etc", "credentials"), mode: "0600", owner: "admin", content: "new key" },
  ]);
  await expect(host.converge(next, known, "stanza-create")).rejects.toThrow("killed");
  const after = { ...known, fileFacts: { ...known.fileFacts, [host.path("etc", "credentials")]: "missing" } };
  expect(await host.converge(next, after)).toMatchObject({ ready: true });
  expect(host.verbs()).toEqual(["stanza-create", "check --no-full-check"]);
});

// claim: docs/hosts/updates.md: a killed update loses neither the former settings nor the gap before them (for a
//   component with another name, which takes the host over)
test.each(atNight("stanza-create", "readlink"))(
  "the host of an update that was killed before %s goes to another component with its former settings and the gap",
  async (killedAt) => {
    const former = "cp %p /srv/wal";
    host = new ConvergedHost({ automatic: { archive_command: former } });
    await expect(host.converge(host.desired(), null, killedAt)).rejects.toThrow("killed");
    host.verbs();
    const renamed = host.desired({ owner: `${OWNER}2`, formerOwner: `${OWNER}2` });
    const outcome = await host.converge(renamed);
    expect(outcome.previousSettings).toEqual({ archive_command: former });
    expect(host.verbs()).toContain("backup --type=incr");
    // The gap is closed for both.
    expect(readFileSync(host.path("etc", "owners"), "utf8")).not.toContain("walGap");
  },
);

test("one that left a record which cannot be read counts as killed, and the next one names the line", async () => {
  host = new ConvergedHost();
  const known = await converged();
  writeFileSync(host.path("etc", "owners"), "{\n");
  expect(await host.refresh(host.desired(), known)).toMatchObject({ ready: false });
  await expect(host.converge(host.desired(), known)).rejects.toThrow("has a line that is not JSON: delete the line");
});

// claim: docs/synchronous.md: an update of a `PostgresHost` that removes the agent removes the name too (and repeats it
//   after a failure)
test("the agent's files stay on record until no commit waits for it", async () => {
  host = new ConvergedHost({ failing: ["synchronous-drop"] });
  const unit = host.path("units", "pgbackstop-main-agent.service");
  mkdirSync(host.path("units"));
  const withAgent = host.desired({}, [{ path: unit, mode: "0644", owner: "admin", content: "" }]);
  const known = await host.converge(withAgent);
  const failure = await host.converge(host.desired(), known).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PartlyApplied);
  const { outcome } = failure as PartlyApplied;
  expect(outcome.fileFacts[unit]).toBeDefined();
  host.change({ failing: [] });
  host.verbs();
  expect((await host.converge(host.desired(), outcome)).fileFacts[unit]).toBeUndefined();
  expect([host.verbs()[0], existsSync(unit)]).toEqual(["synchronous-drop", false]);
});

// The engine's record of passphrases follows it: one that no stanza was created with may still be corrected.
test("an update that ends before it writes anything has not created the stanza of its configuration", async () => {
  host = new ConvergedHost();
  const known = await converged();
  expect(known.stanzaMade).toBe(true);
  const next = host.desired({}, [more()]);
  // Once before the lock, once behind it.
  const failure = await host.converge(next, known, "admin record", 2).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(PartlyApplied);
  expect((failure as PartlyApplied).outcome).toMatchObject({ ready: false, stanzaMade: false });
});

test("the next update takes a backup into a repository whose key the killed one may have led elsewhere", async () => {
  host = new ConvergedHost();
  const at = (digest: string): DesiredHost => host.desired({ locations: { repo1: digest } });
  const known = await host.converge(at("nas"));
  const moved = { ...at("bucket"), files: host.desired({}, [more()]).files };
  await expect(host.converge(moved, known, "stanza-create")).rejects.toThrow("killed");
  host.verbs();
  const refreshed = await host.refresh(at("nas"), known);
  expect(await host.converge(at("nas"), refreshed)).toMatchObject({ ready: true, locations: { repo1: "nas" } });
  expect(host.verbs()).toContain("backup --type=incr");
});

test.runIf(NIGHTLY)(
  "a refresh between a killed update and the next one hides no added repository from that",
  async () => {
    host = new ConvergedHost();
    const known = await converged();
    host.change({ repositories: { repo1: true, repo2: true } });
    const next = host.desired({}, [
      { path: host.path("etc", "added.conf"), mode: "0644", owner: "admin", content: "[global]\nrepo2-path=/srv/2\n" },
    ]);
    await expect(host.converge(next, known, " backup ")).rejects.toThrow("killed");
    host.verbs();
    expect(await host.converge(next, await host.refresh(next, known))).toMatchObject({ ready: true });
    expect(host.verbs()).toContain("backup --type=incr --repos=2");
  },
);
