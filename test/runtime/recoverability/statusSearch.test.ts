/**
 * A search: what `status` says is what a recovery gives. Random lives of one cluster, of copies that archive beside it,
 * and of its repositories; at the end of each step the report is compared with recoveries of the ledger.
 */
import { expect, it } from "vitest";
import { isWell, type StatusReport } from "../../../runtime/operations/info/status";
import { NIGHTLY } from "../../../tools/parts/nightly";
import * as fc from "../../harness/properties";
import { Life } from "./madeLife";

const STEP = fc.record({
  kind: fc.constantFrom(
    "write",
    "write",
    "write",
    "backup",
    "backup",
    "fail over",
    "go back",
    "undo",
    "copy",
    "write copy",
    "stop copies",
    "toggle",
    "toggle",
    "lose",
    "lose archive.info",
    "lose backup.info",
    "put back",
  ),
  key: fc.constantFrom(1, 2),
  count: fc.nat(5),
  afterS: fc.constantFrom(400, 7200, 90_000, 900_000),
});
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

async function apply(life: Life, { count, key, kind }: Step): Promise<void> {
  switch (kind) {
    case "write":
      return life.write(count + 1);
    case "backup":
      return life.backup();
    case "fail over":
      return life.failOver();
    case "go back":
      return life.goBack(count);
    case "undo":
      return life.undo();
    case "copy":
      return life.copy(count);
    case "write copy":
      return life.writeCopy(count);
    case "stop copies":
      return life.stopCopies();
    case "toggle":
      return life.toggle(key);
    case "lose":
      return life.lose(key, count);
    case "lose archive.info":
      return life.loseInfo(key, "archive");
    case "lose backup.info":
      return life.loseInfo(key, "backup");
    case "put back":
      return life.putBack(key);
  }
}

function troublesOf({ repos, troubles }: StatusReport): string[] {
  return [...troubles, ...repos.flatMap((repo) => repo.troubles)].map(({ code, message }) => `${code}: ${message}`);
}

/** Empty if the report says what recoveries give. */
async function contradictions(life: Life): Promise<string[]> {
  const lines: string[] = [];
  const onHost = await life.status(true);
  if (isWell(onHost)) {
    for (const keys of [[1], [2], [1, 2]]) {
      const { isExact, text } = await life.recover(keys, true);
      if (!isExact) lines.push(`well on the host, and repo${keys.join(", ")} gives: ${text}`);
    }
  } else if (!life.isHurt && !life.hasCopies && life.isCalm) {
    lines.push(`nothing is wrong, and the host reports: ${troublesOf(onHost).join("; ")}`);
  }
  const elsewhere = await life.status(false);
  if (isWell(elsewhere) && !life.isMistakable) {
    const { hasAllStored, text } = await life.recover([1, 2], false);
    if (!hasAllStored) lines.push(`well elsewhere, and a recovery gives: ${text}`);
  }
  return lines;
}

// claim: docs/hosts/recover.md: a default recovery follows this server's own history, or asks
it("what status says is what a recovery gives", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 14 }), async (steps) => {
      const life = await Life.begin();
      for (const step of steps) {
        if (!life.canWrite) break;
        life.nowS += step.afterS;
        await apply(life, step);
        life.nowS += 600;
        expect(await contradictions(life)).toEqual([]);
      }
    }),
    { numRuns: NIGHTLY ? 20_000 : 500 },
  );
});
