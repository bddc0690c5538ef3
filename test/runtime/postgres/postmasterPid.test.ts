import { expect, test } from "vitest";
import { parsePostmasterPid } from "../../../runtime/postgres/postmasterPid";

const FILE = "4711\n/var/lib/postgresql/18/main\n1763800000\n5432\n/var/run/postgresql\nlocalhost\n  1234  5678\n";

test("has the process, its start, its sockets and its status, which is filled up with spaces", () => {
  const facts = { pid: 4711, startedAtS: 1_763_800_000, socketPath: "/var/run/postgresql" };
  expect(parsePostmasterPid(`${FILE}ready   \n`)).toEqual({ ...facts, status: "ready" });
  expect(parsePostmasterPid(FILE)).toEqual({ ...facts, status: "" });
});

test("an empty or a torn file names nothing", () => {
  expect(parsePostmasterPid("")).toEqual({ pid: 0, startedAtS: 0, socketPath: "", status: "" });
  expect(parsePostmasterPid("-12\n/var")).toEqual({ pid: -12, startedAtS: 0, socketPath: "", status: "" });
});
