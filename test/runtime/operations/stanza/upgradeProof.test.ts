/** Contradictions between two data directories. test/interop/majorUpgrade.test.ts runs pg_upgrade itself. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { crc32c } from "../../../../runtime/format/codec/crc32c";
import { upgradeFactsOf } from "../../../../runtime/format/page/pgControl";
import { proveUpgrade } from "../../../../runtime/operations/stanza/upgradeProof";
import { testContext } from "../../../harness/context";
import { errorOf, vectorBytes } from "../../format/vectors";
import { temporaryFolder } from "../../repository/support";

interface Facts {
  readonly state?: number;
  readonly systemId?: bigint;
  readonly checkpoint?: bigint;
  readonly redo?: bigint;
  readonly nextXid?: bigint;
}

const LAYOUTS = { 18: { xid: 64, crc: 292 }, 19: { xid: 72, crc: 308 } } as const;
/** Clean shutdown of a primary, and a running one. */
const [SHUT_DOWN, RUNNING] = [1, 6];
const FORMER = {
  state: SHUT_DOWN,
  systemId: 7n,
  checkpoint: 0x5000_0028n,
  redo: 0x5000_0028n,
  nextXid: 4_294_968_000n,
};
const PRESENT = {
  state: RUNNING,
  systemId: 8n,
  checkpoint: 0x5100_0128n,
  redo: 0x5100_0028n,
  nextXid: 4_294_968_000n,
};

let former: string;
let present: string;

beforeEach(() => {
  const folder = temporaryFolder();
  [former, present] = [join(folder, "18"), join(folder, "19")];
  for (const path of [former, present])
    for (const name of ["global", "base/5"]) mkdirSync(join(path, name), { recursive: true });
  writeControl(former, 18, FORMER);
  writeControl(present, 19, PRESENT);
});

function writeControl(directory: string, major: 18 | 19, facts: Facts, name = "pg_control"): void {
  const bytes = Buffer.alloc(8192);
  bytes.set(vectorBytes(`pg_control.pg${major}.first512.bin`));
  const { crc, xid } = LAYOUTS[major];
  if (facts.systemId !== undefined) bytes.writeBigUInt64LE(facts.systemId, 0);
  if (facts.state !== undefined) bytes.writeUInt32LE(facts.state, 16);
  if (facts.checkpoint !== undefined) bytes.writeBigUInt64LE(facts.checkpoint, 32);
  if (facts.redo !== undefined) bytes.writeBigUInt64LE(facts.redo, 40);
  if (facts.nextXid !== undefined) bytes.writeBigUInt64LE(facts.nextXid, xid);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, crc)), crc);
  writeFileSync(join(directory, "global", name), bytes);
}

const prove = () => proveUpgrade({ former, present }, testContext());
const FORMER_CLUSTER = { version: "18", systemId: 7n };

test("an upgraded cluster comes from the former one, also after it went on and databases came", async () => {
  expect(await prove()).toEqual(FORMER_CLUSTER);
  writeControl(present, 19, { ...PRESENT, redo: 0x9900_0028n, nextXid: 8_589_934_592n });
  for (const path of [join(former, "base/16384"), join(present, "base/16384"), join(present, "base/16999")])
    mkdirSync(path);
  expect(await prove()).toEqual(FORMER_CLUSTER);
});

test("pg_control may be renamed, as --link and --swap do", async () => {
  renameSync(join(former, "global/pg_control"), join(former, "global/pg_control.old"));
  expect(await prove()).toEqual(FORMER_CLUSTER);
  renameSync(join(former, "global/pg_control.old"), join(former, "global/else"));
  await errorOf("fileMissing", prove);
});

// claim: docs/hosts/upgrade.md: 17 to 18 to…
test.each<[string, () => void, string]>([
  ["the same version", () => writeControl(present, 18, PRESENT), "it has version 18, and the other one 18"],
  [
    "an older version",
    () => {
      writeControl(former, 19, FORMER);
      writeControl(present, 18, PRESENT);
    },
    "it has version 18, and the other one 19",
  ],
  [
    "the same system identifier",
    () => writeControl(present, 19, { ...PRESENT, systemId: 7n }),
    "both have the same system identifier",
  ],
  [
    "a former cluster that runs",
    () => writeControl(former, 18, { ...FORMER, state: RUNNING }),
    "is running or was not",
  ],
  [
    "a new cluster from initdb",
    () => writeControl(present, 19, { ...PRESENT, redo: 0x174_fed8n, nextXid: 680n }),
    "its WAL is at 0/174FED8, and that of the other one ended at 0/50000028",
  ],
  [
    "another cluster with more WAL",
    () => writeControl(present, 19, { ...PRESENT, nextXid: 4_294_967_999n }),
    "its next transaction is 4294967999, and that of the other one was 4294968000",
  ],
  ["another cluster's databases", () => mkdirSync(join(former, "base/16384")), "it lacks the database with oid 16384"],
])("%s is refused", async (_what, change, fact) => {
  change();
  const { message } = await errorOf("dbMismatch", prove);
  expect(message).toContain(`'${present}' is not what pg_upgrade made of '${former}': `);
  expect(message).toContain(fact);
});

test("state and next transaction are read from both layouts", () => {
  expect(upgradeFactsOf(vectorBytes("pg_control.pg19.first512.bin"))).toEqual({ isShutDown: true, nextXid: 662n });
  expect(upgradeFactsOf(vectorBytes("pg_control.pg18.first512.bin")).nextXid).toBeGreaterThan(600n);
});
