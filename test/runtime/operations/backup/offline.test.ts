// claim: README.md: `backup --no-online`, full, diff…
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadManifest } from "../../../../runtime/repository/backupStore";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, makeDataDirectory, repository, temporaryFolder } from "../../repository/support";
import { runBackup } from "./support";

const OFFLINE = { online: false, archiveCheck: false } as const;
let data: string;
let ctx: TestContext;
let repo: Repository;

beforeEach(async () => {
  data = makeDataDirectory(temporaryFolder(), { "pg_wal/000000010000000000000003": "wal" });
  ctx = testContext();
  repo = repository(1, { storage: new MemoryStorage({ name: "memory1" }), compress: { type: "none", level: 0 } });
  await stanzaCreate([repo], CONTROL, ctx);
});

const labels = async (): Promise<string[]> => (await loadBackupInfo(repo)).backups.map((entry) => entry.label);

describe("a backup of a server that is down", () => {
  it("queries no server, has no WAL positions, and includes pg_wal", async () => {
    await runBackup([repo], data, ctx, OFFLINE);
    const manifest = await loadManifest(repo, (await labels())[0] ?? "", null);
    expect(manifest.options).toMatchObject({ online: false, checksumPage: false });
    expect([manifest.archiveStart, manifest.archiveStop, manifest.lsnStart, manifest.lsnStop]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const names = manifest.files.map((file) => file.name);
    expect(names).toContain("pg_data/pg_wal/000000010000000000000003");
    expect(names).not.toContain("pg_data/backup_label");
  });

  it("is refused with 38 while a postmaster.pid exists, unless forced, which is reported", async () => {
    writeFileSync(join(data, "postmaster.pid"), "1\n");
    await expect(runBackup([repo], data, ctx, OFFLINE)).rejects.toMatchObject({ kind: "pgRunning" });
    expect(await labels()).toEqual([]);
    await runBackup([repo], data, ctx, { ...OFFLINE, force: true });
    expect(ctx.lines.map((line) => line.text).join("\n")).toContain("the backup will probably not be consistent");
    expect(await labels()).toHaveLength(1);
  });

  it("fails when the server is started before the copy has ended: nothing is listed", async () => {
    const onCopy = (): void => writeFileSync(join(data, "postmaster.pid"), "1\n");
    await expect(runBackup([repo], data, ctx, OFFLINE, { onCopy })).rejects.toMatchObject({ kind: "pgRunning" });
    expect(await labels()).toEqual([]);
  });
});
