/** The restore_command is run by a real shell, as PostgreSQL would. */
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { offerWal } from "../../../../runtime/operations/drill/walOffer";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const NAME = "000000010000000000000007";

/** Runs the command for each name in a folder; resolves with exit codes. */
async function offered(
  get: (walName: string, destination: string) => Promise<boolean>,
): Promise<{ readonly folder: string; run(name: string): Promise<number> }> {
  const folder = join(temporaryFolder(), "a drill's");
  mkdirSync(folder);
  const account = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const { restoreCommand, stop } = await offerWal(folder, account, get, testContext({ clock: systemClock }));
  onTestFinished(stop);
  return {
    folder,
    run: (name) => {
      const command = restoreCommand.replaceAll("%f", name).replaceAll("%p", "RECOVERYXLOG");
      return new Promise((resolve) => {
        execFile("sh", ["-c", command], { cwd: folder }, (error) => resolve(error === null ? 0 : Number(error.code)));
      });
    },
  };
}

describe("WAL for a drill's server in a container", () => {
  test("arrives complete, even when the server asks again, and only the last file stays", async () => {
    const { folder, run } = await offered(async (name, destination) => {
      writeFileSync(destination, `content of ${name}`);
      return true;
    });
    for (const name of [NAME, NAME, "000000010000000000000008", "00000002.history"]) {
      expect(await run(name)).toBe(0);
      expect(readFileSync(join(folder, "RECOVERYXLOG"), "utf8")).toBe(`content of ${name}`);
    }
    expect([readdirSync(join(folder, "wal/ask")), readdirSync(join(folder, "wal/given"))]).toEqual([
      [],
      ["00000002.history"],
    ]);
  });

  test("ends recovery when no repository has it, and aborts it after a fault", async () => {
    const { run } = await offered(async (name) => {
      if (name === NAME) return false;
      throw fail("service", "the repository does not answer");
    });
    expect([await run(NAME), await run("000000010000000000000008"), await run(NAME)]).toEqual([1, 255, 1]);
  });

  test("goes only to names of WAL files, and root follows no link", async () => {
    const asked: string[] = [];
    const { folder, run } = await offered(async (name, destination) => {
      asked.push(name);
      writeFileSync(destination, name);
      return true;
    });
    const precious = join(folder, "precious");
    writeFileSync(precious, "kept");
    writeFileSync(join(folder, "wal/ask/precious"), "");
    symlinkSync(precious, join(folder, "wal/ask", NAME));
    expect(await run("000000010000000000000008")).toBe(0);
    expect(asked).toEqual([NAME, "000000010000000000000008"]);
    expect(readFileSync(precious, "utf8")).toBe("kept");
  });
});
