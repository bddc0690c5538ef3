import { execFileSync } from "node:child_process";
import { userInfo } from "node:os";
import { expect, test } from "vitest";
import { backupScript } from "../../../components/render/actions";

const run = (script: string, env: Record<string, string> = {}): string =>
  execFileSync("/bin/sh", ["-c", script], { encoding: "utf8", env: { PATH: process.env["PATH"] ?? "", ...env } });

test("runs the runtime as the account, with words as they are and without options of the environment", () => {
  const argv = ["/usr/bin/env", "printf", "%s|", "--config=/etc/pgb stop/it's $HOME.conf"];
  expect(run(backupScript(userInfo().username, argv, "full", []))).toBe(
    "--config=/etc/pgb stop/it's $HOME.conf|--log-level-console=info|backup|--type=full|",
  );
  expect(run(backupScript(userInfo().username, ["/bin/sh", "-c", "env"], "full", []), { PGBACKREST_REPO1_PATH: "/elsewhere", KEPT: "1" })).toMatch(
    /^(?!.*PGBACKREST)[^]*KEPT=1/,
  );
});

test("one run for each named repository, and the first that fails ends it", () => {
  const script = backupScript(userInfo().username, ["/bin/sh", "-c", 'echo "$@"; case "$*" in *repo=3*) exit 41;; esac', "sh"], "incr", [2, 3, 4]);
  let told = { stdout: "", status: 0 };
  try {
    run(script);
  } catch (error) {
    told = error as typeof told;
  }
  expect(told.status).toBe(41);
  expect(told.stdout).toContain("backup --type=incr --repo=2");
  expect(told.stdout).not.toContain("--repo=4");
});
