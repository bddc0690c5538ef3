/** Command lines on the host: secrets and SQL go over standard input, and what is stored there is removed. */
import { expect, test } from "vitest";
import { closeClone, type CloneSpec, findClone, openClone } from "../../../components/dynamic/cloneOnHost";
import type { Connection, ExecOptions, ExecResult } from "../../../components/host/connection";

const PASSWORD = "marker-of-a-password";
const AT = "/srv/clones/pr-123-0a";
const spec: CloneSpec = {
  name: "pr-123",
  directory: "/srv/clones",
  target: "2026-11-20 06:40:00+00",
  repoIndex: 2,
  databases: ["shop", "a b"],
  mask: ["UPDATE customers SET email = '' -- all", "ANALYZE"],
  role: "preview",
  listen: "10.0.0.5",
  allow: ["10.0.0.0/8"],
  lifetimeHours: 12,
  binDirectory: "/opt/pg/bin",
  cacheGiB: 2,
};
const ANSWER = JSON.stringify({ databases: ["shop"], port: 40_000, dataTime: "2026-11-20T06:39:59.000Z" });

interface Call {
  readonly argv: readonly string[];
  readonly stdin: string;
}

function reached(answer: (argv: readonly string[]) => Partial<ExecResult>, uid = 0): { calls: Call[]; on: Connection } {
  const calls: Call[] = [];
  const on: Connection = {
    name: "db1",
    login: { name: uid === 0 ? "root" : "deploy", uid, gid: uid },
    exec: async (argv: readonly string[], options: ExecOptions = {}) => {
      calls.push({ argv, stdin: String(options.stdin ?? "") });
      return { exitCode: 0, stdout: "", stderr: "", ...answer(argv) };
    },
    hold: () => {
      throw new Error("nothing is held");
    },
    close: async () => {},
  };
  return { calls, on };
}

const onHost = (connection: Connection, log: (line: string) => void = () => {}) => ({
  connection,
  argv: ["/usr/local/bin/pgbackstop"],
  at: AT,
  log,
});
const answers = (argv: readonly string[]): Partial<ExecResult> =>
  argv[0] === "/bin/sh" ? { stdout: "/run/pgbackstop-mask-1" } : argv.includes("clone") ? { stdout: ANSWER } : {};

test("opens with the password on standard input and the mask in a file that goes", async () => {
  const { calls, on } = reached(answers);
  expect(await openClone(onHost(on), spec, PASSWORD)).toMatchObject({ port: 40_000 });
  const [directory, mask, clone, removal] = calls;
  expect(directory?.argv).toEqual(["install", "-d", "-m", "0711", "--", "/srv/clones"]);
  expect(mask?.stdin).toBe("UPDATE customers SET email = '' -- all\n;\nANALYZE\n;\n");
  expect(clone?.stdin).toBe(PASSWORD);
  expect(clone?.argv).toEqual([
    "/usr/local/bin/pgbackstop",
    "--log-level-console=off",
    "--log-level-stderr=warn",
    "clone",
    `--at=${AT}`,
    "--output=json",
    "--password-file=/dev/stdin",
    "--role=preview",
    "--listen=10.0.0.5",
    "--lifetime-hours=12",
    "--mask-file=/run/pgbackstop-mask-1",
    "--type=time",
    "--target=2026-11-20 06:40:00+00",
    "--repo=2",
    "--cache-max=2GiB",
    "--bin-path=/opt/pg/bin",
    "--keep-database=shop",
    "--keep-database=a b",
    "--allow=10.0.0.0/8",
  ]);
  expect(removal?.argv).toEqual(["rm", "-f", "--", "/run/pgbackstop-mask-1"]);
  expect(JSON.stringify(calls.map(({ argv }) => argv))).not.toContain(PASSWORD);
});

test("a failed one says why, and its mask is removed", async () => {
  const { calls, on } = reached((argv) =>
    argv.includes("clone") ? { exitCode: 57, stderr: "ERROR: the mask failed" } : answers(argv),
  );
  await expect(openClone(onHost(on), spec, PASSWORD)).rejects.toThrow("the mask failed");
  expect(calls.at(-1)?.argv[0]).toBe("rm");
});

test("one that is gone is closed already; another failure is an error", async () => {
  const lines: string[] = [];
  const gone = reached(() => ({ exitCode: 55 }));
  await closeClone(onHost(gone.on, (line) => lines.push(line)));
  expect(lines).toEqual([`the clone in ${AT} is gone already`]);
  expect(gone.calls[0]?.argv).toEqual(["/usr/local/bin/pgbackstop", "close", `--at=${AT}`]);
  const busy = reached(() => ({ exitCode: 102, stderr: "busy" }));
  await expect(closeClone(onHost(busy.on))).rejects.toThrow("busy");
});

test("without root it is refused before anything runs", async () => {
  const { calls, on } = reached(answers, 1000);
  await expect(openClone(onHost(on), spec, PASSWORD)).rejects.toThrow("sign in as root");
  await expect(findClone(onHost(on))).rejects.toThrow("needs root");
  expect(calls).toEqual([]);
});
