import { expect, test } from "vitest";
import { refuseOtherArchiving, requireWalLevel } from "../../../components/host/archiveSetting";

const COMMAND = { archive_mode: "on", archive_command: "client" };
const SLOT = { max_slot_wal_keep_size: "16GB" };

test("a host never changes the way by which WAL leaves it", () => {
  for (const [next, former] of [
    [COMMAND, SLOT],
    [SLOT, COMMAND],
  ] as const)
    expect(() => refuseOtherArchiving(next, former)).toThrow("argument archive cannot change on a host");
  for (const [next, former] of [
    [COMMAND, { archive_mode: null, archive_command: null }],
    [SLOT, SLOT],
    [SLOT, {}],
    [{}, SLOT],
    [COMMAND, { archive_timeout: "60s" }],
  ] as const)
    expect(() => refuseOtherArchiving(next, former)).not.toThrow();
});

test("wal_level minimal is refused with the reason of each way", () => {
  expect(() => requireWalLevel("replica", SLOT)).not.toThrow();
  expect(() => requireWalLevel("minimal", SLOT)).toThrow("a replication slot would get incomplete WAL");
  expect(() => requireWalLevel("minimal", COMMAND)).toThrow("PostgreSQL would refuse to start");
});
