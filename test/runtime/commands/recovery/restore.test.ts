import { expect, test } from "vitest";
import { restoreCommand } from "../../../../components/render/host/commandLine";
import { archiveGetLine, fromRepository } from "../../../../runtime/commands/recovery/restore";
import { testContext } from "../../../harness/context";
import { DEFAULTS } from "../../../../components/plan/model/defaults";
import { temporaryFolder } from "../../repository/support";
import { host } from "../support";

// PostgreSQL runs it after the unit has ended, and a named include directory must exist.
test("restore_command names no keys that systemd lent to the restore", () => {
  const lineWith = (path: string): string => {
    const own = host({ folder: temporaryFolder(), repos: [], ctx: testContext(), argv: ["restore"] });
    const carriedOptions = ["--config=/etc/pgbackrest.conf", `--config-include-path=${path}`];
    return archiveGetLine({ ...own, config: { ...own.config, carriedOptions } });
  };
  expect(lineWith("/run/credentials/pgbackstop-main-run-7.service")).not.toContain("config-include-path");
  expect(lineWith("/etc/pgbackstop/conf.d")).toContain("--config-include-path=/etc/pgbackstop/conf.d");
});

test("restore passes its repository on to the agent's client", () => {
  const directories = { ...DEFAULTS.directories, lock: "/tmp/pgbackrest" };
  const command = restoreCommand({ directories, stanza: "main" });
  expect(fromRepository(command, undefined)).toBe(command);
  expect(fromRepository(command, 2)).toContain("/run/pgbackstop/main.sock archive-get %f %p --repo=2; c=$?");
});
