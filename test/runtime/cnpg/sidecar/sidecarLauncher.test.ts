import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { join } from "node:path";
import { launcherText, writeLauncher } from "../../../../runtime/cnpg/sidecar/sidecarLauncher";
import { temporaryFolder } from "../../repository/support";

// claim: docs/kubernetes/commands.md: the sidecar's command line…
test("a verb finds the sidecar's options in its environment, and its own arguments after the program", async () => {
  const file = join(temporaryFolder(), "pgbackstop");
  const own = 'Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("PGBACKREST_")))';
  const print = `console.log(JSON.stringify([process.argv.slice(1), ${own}]))`;
  const options = [
    "--config=/etc/a b.conf",
    "--repo1-s3-verify-tls",
    "--no-delta",
    "--reset-tablespace-map",
    "--stanza=it's",
  ];
  await writeLauncher(file, launcherText([process.execPath, "-e", print, "--"], options));
  expect(JSON.parse(execFileSync(file, ["info", "--output=json", "two words"], { encoding: "utf8" }))).toEqual([
    ["info", "--output=json", "two words"],
    {
      PGBACKREST_CONFIG: "/etc/a b.conf",
      PGBACKREST_REPO1_S3_VERIFY_TLS: "y",
      PGBACKREST_DELTA: "n",
      PGBACKREST_STANZA: "it's",
    },
  ]);
});
