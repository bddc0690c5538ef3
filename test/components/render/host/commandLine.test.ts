import { shellArgument } from "../../../../components/plan/host/hostCommand";
import { execFileSync } from "node:child_process";
import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import { archiveCommand, systemdArgument } from "../../../../components/render/host/commandLine";
import { plan } from "../../plans";

test("archive_command names pgbackrest, because stock's check and backup require it", () => {
  expect(archiveCommand(plan())).toBe(
    "/usr/local/lib/pgbackstop/pgbackrest-client /run/pgbackstop/main.sock archive-push %p",
  );
  expect(archiveCommand(plan({ agent: false }))).toBe(
    '/usr/bin/node /usr/local/lib/pgbackstop/runtime.cjs --config=/etc/pgbackstop/pgbackrest.conf --config-include-path=/etc/pgbackstop/conf.d --stanza=main archive-push "%p"',
  );
  const elsewhere = archiveCommand(plan({ agent: false, directories: { config: "/srv/my backups", lib: "/opt/x" } }));
  expect(elsewhere).toContain("'--config=/srv/my backups/pgbackrest.conf'");
  expect(elsewhere).toContain("pgbackrest");
  expect(archiveCommand(plan({ directories: { lib: "/opt/my x" } }))).toBe(
    "'/opt/my x/pgbackrest-client' /run/pgbackstop/main.sock archive-push %p",
  );
});

test("a shell returns each argument unchanged", () => {
  const arg = fc.string({ minLength: 1 }).filter((text) => !text.includes("\0"));
  fc.assert(
    fc.property(fc.array(arg, { minLength: 1, maxLength: 5 }), (args) => {
      const output = execFileSync("/bin/sh", ["-c", `printf '%s\\n\\001' ${args.map(shellArgument).join(" ")}`], {
        encoding: "utf8",
      });
      expect(output.split("\n\u0001").slice(0, -1)).toEqual(args);
    }),
    { numRuns: 30 },
  );
});

test("systemd's specifiers, variables and quotes are escaped", () => {
  expect(["/usr/bin/node", "--x=100%", "a b", "$HOME", 'say "\\"'].map(systemdArgument)).toEqual([
    "/usr/bin/node",
    "--x=100%%",
    '"a b"',
    "$$HOME",
    '"say \\"\\\\\\""',
  ]);
});
