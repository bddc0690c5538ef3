/** The script of an action, run by this machine's shell as the provider runs it. */
import { spawnSync } from "node:child_process";
import { userInfo } from "node:os";
import { expect, test } from "vitest";
import { labelOf, type Once, onceCommand, onceScript, SHOWN_LINES } from "../../../components/host/onceScript";

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** As the provider starts it: by a shell, with its whole environment. */
function ran(runs: readonly (readonly string[])[], more: Partial<Once> = {}): Ended {
  const once = { account: userInfo().username, runs, what: "do it's work", limitSeconds: 60, ...more };
  const env = { ...process.env, PULUMI_CONFIG_PASSPHRASE: "marker-passphrase" };
  const command = onceCommand({ isLocal: true, sudo: false });
  const { status, stderr, stdout } = spawnSync("/bin/sh", ["-c", command], { input: onceScript(once), env });
  return { code: status, stdout: stdout.toString("latin1"), stderr: stderr.toString("latin1") };
}

const sh = (script: string, ...args: string[]): string[] => ["/bin/sh", "-c", script, "sh", ...args];

test("lines of both streams are shown on standard error, and standard output has the label alone", () => {
  const script = "echo one; echo 'P00 INFO: new backup label = 20261122-090000F'; echo two >&2";
  const ended = ran([sh(script)]);
  expect(ended).toMatchObject({ code: 0, stdout: "20261122-090000F\n" });
  expect(ended.stderr.split("\n").sort()).toEqual(["", "P00 INFO: new backup label = 20261122-090000F", "one", "two"]);
  expect(labelOf(ended.stdout.trimEnd())).toBe("20261122-090000F");
  expect(labelOf("")).toBe("");
});

test("runs follow each other, and the first failure ends them with the reason", () => {
  const ended = ran([sh("echo new backup label = A"), sh("echo because; exit 55"), sh("echo never")]);
  expect(ended).toEqual({
    code: 1,
    stdout: "A\n",
    stderr: "new backup label = A\nbecause\nunable to do it's work: exit code 55\n",
  });
  expect(labelOf(ran([sh("echo new backup label = A"), sh("echo new backup label = B")]).stdout)).toBe("B");
});

test("arguments arrive as they are", () => {
  const odd = ["a b", "it's", '"$HOME"', "$(id)", "*", "ü"];
  const ended = ran([sh('for each in "$@"; do echo "<$each>"; done', ...odd)]);
  expect(ended.stderr).toBe(`<a b>\n<it's>\n<"$HOME">\n<$(id)>\n<*>\n<\u00c3\u00bc>\n`);
});

test("a program gets no input, and nothing of the provider's environment", () => {
  const { stderr } = ran([sh("cat; env; read line || echo nothing to read")]);
  expect(stderr).not.toContain("marker-passphrase");
  expect(stderr).not.toContain("seconds");
  expect(stderr).toContain("nothing to read");
});

test("a program that does not end is terminated", () => {
  const ended = ran([["sleep", "60"]], { limitSeconds: 1 });
  expect(ended.code).toBe(1);
  expect(ended.stderr).toBe("it was terminated: its limit is 1 s\nunable to do it's work: exit code 143\n");
});

test("output is bounded: in lines, in their length, and to bytes that any text may have", () => {
  const many = ran([sh("i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; done")])
    .stderr.trimEnd()
    .split("\n");
  expect(many).toHaveLength(SHOWN_LINES.first + 1 + SHOWN_LINES.last);
  expect(many.slice(SHOWN_LINES.first, SHOWN_LINES.first + 2)).toEqual([
    "(of 1000 lines, the first 200 and the last 20 are shown)",
    "981",
  ]);
  const few = ran([sh("i=0; while [ $i -lt 215 ]; do i=$((i+1)); echo $i; done")])
    .stderr.trimEnd()
    .split("\n");
  expect(few).toHaveLength(215);
  const long = ran([sh("head -c 200000 /dev/zero | tr '\\0' x; echo; printf 'broken \\377 byte'")]).stderr;
  expect(long).toBe(`${"x".repeat(SHOWN_LINES.charsMax)}\nbroken  byte\n`);
});

test("the options of a run, which repeat the files, are not shown", () => {
  expect(ran([sh("echo 'P00 INFO: backup command begin 2.60.0: --a=b'; echo shown")]).stderr).toBe("shown\n");
});

test("a missing account, and one that the login may not become, are named", () => {
  expect(ran([["true"]], { account: "no-such-account" }).stderr).toContain("there is no account no-such-account");
  if (userInfo().uid === 0) expect(ran([["id", "-un"]], { account: "daemon" }).stderr).toBe("daemon\n");
  else expect(ran([["true"]], { account: "root" }).stderr).toContain("unable to run commands as root when logged in");
});

test("the command line has no data, and uses sudo where the login is not root", () => {
  expect(onceCommand({ isLocal: false, sudo: true })).toBe(
    `/bin/sh -c 'cd / && exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin LANG=C.UTF-8 HOME="$HOME" sudo -n -- /bin/sh -s'`,
  );
  expect(onceCommand({ isLocal: false, sudo: false })).not.toContain("sudo");
});
