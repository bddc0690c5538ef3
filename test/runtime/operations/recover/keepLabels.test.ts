import { expect, test } from "vitest";
import { keepLabels } from "../../../../runtime/operations/recover/recover";
import { testContext } from "../../../harness/context";

const moves = [
  { from: "/srv/wal", to: "/srv/wal.before-recover-1" },
  { from: "/srv/pg", to: "/srv/pg.before-recover-1" },
];

// claim: docs/hosts/containers.md: on a host with SELinux a recovered directory gets the old one's label (chcon itself
//   does not run)
test("new directories get the label of the old ones, where there are labels", async () => {
  const calls: string[] = [];
  const program = async (argv: readonly string[]) => {
    calls.push(argv.join(" "));
    return { exitCode: argv.at(-1) === "/srv/pg" ? 1 : 0, stdout: "", stderr: "chcon: no such\n" };
  };
  const ctx = testContext();
  await keepLabels({ moves }, { program }, ctx);
  expect(calls).toEqual([]);
  await keepLabels({ moves }, { program, hasLabels: true }, ctx);
  expect(calls).toEqual([
    "chcon --reference=/srv/wal.before-recover-1 -- /srv/wal",
    "chcon --reference=/srv/pg.before-recover-1 -- /srv/pg",
  ]);
  expect(ctx.lines.map(({ text }) => text).join("\n")).toContain(
    "'/srv/pg' may lack the SELinux label of '/srv/pg.before-recover-1'",
  );
});
