/**
 * Copies a hostile repository into a local one. `sync` writes only below the target's archive and backup paths of the
 * stanza, whatever names the source's listings, info files and manifests contain.
 */
// claim: README.md: whatever a repository's listings, info files and manifests contain, `sync` writes only into the
//   target's stanza (random keys and rows, into a directory beside sentinels)
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { beforeEach, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import { type InfoEntry, parseInfo, renderInfo } from "../../../../runtime/format/repository/infoFile";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { listStanzas } from "../../../../runtime/operations/info/info";
import { sync } from "../../../../runtime/operations/sync/sync";
import { verify } from "../../../../runtime/operations/verify/verify";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { KEEP_ALL, MADE_WAL_SIZE_BYTES, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder, walName } from "../../repository/support";
import { NIGHTLY } from "../../../../tools/parts/nightly";

const LABEL = "20260101-000000F";
const SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

let folder: string;
let golden: MemoryStorage;

beforeEach(async () => {
  folder = temporaryFolder();
  golden = new MemoryStorage();
  await makeStanza(repository(1, { storage: golden }), {
    versions: ["15"],
    backups: [{ label: LABEL, wal: [walName(3), walName(3)] }],
    wal: { "15-1": [walName(3), "00000002.history"] },
  });
  mkdirSync(join(folder, "beside"));
  writeFileSync(join(folder, "beside/keep.txt"), "do not touch");
});

function beside(): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => !/^repo2(\/(archive|backup|pgbackstop)\/demo)?(\/|$)/.test(name),
  );
  return files.sort().map((name) => `${name} ${statSync(join(folder, name)).mtimeMs}`);
}

const part = fc.constantFrom(
  "..",
  ".",
  "",
  "beside",
  "keep.txt",
  LABEL,
  "15-1",
  "archive",
  "x\0",
  "a b",
  "0000000100000000",
);
const names = fc.oneof(
  fc.constantFrom(
    walName(4),
    `${walName(4)}-${SHA1}`,
    `../${walName(5)}-${SHA1}`,
    "00000003.history",
    "../../../beside/keep.txt",
    "..",
    "backup.manifest",
  ),
  fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/")),
);
const directories = fc.constantFrom(
  "archive/demo",
  "archive/demo/15-1",
  "archive/demo/15-1/0000000100000000",
  "archive",
  "backup/demo",
  `backup/demo/${LABEL}`,
  "backup",
);
/** Any keys that an object store may hold. */
const keys = fc.tuple(directories, names).map(([directory, name]) => `${directory}/${name}`);

const value = fc.constantFrom(
  '"../../../beside"',
  '".."',
  '"15/../.."',
  '"20260101-000000F/../x"',
  "0",
  "-1",
  "null",
  '{"size":0,"timestamp":1}',
  '{"path":"/","type":"link"}',
  '{"backup-reference":["../x"]}',
);
/** Changes the value or the name of a row in an info file or manifest. */
const edits = fc.record({
  file: fc.constantFrom("archive.info", "backup.info", "backup.manifest"),
  row: fc.nat(60),
  value: fc.option(value),
  key: fc.option(names),
});

function edited(
  text: string,
  row: number,
  edit: { readonly value: string | null; readonly key: string | null },
): string {
  const entries: readonly InfoEntry[] = parseInfo(text, "golden");
  return renderInfo(
    entries.map((entry, index) =>
      index === row % entries.length && entry.section !== "backrest"
        ? {
            section: entry.section,
            key: edit.key === null || edit.key === "" ? entry.key : edit.key,
            valueText: edit.value ?? entry.valueText,
          }
        : entry,
    ),
  );
}

it("sync writes only into its stanza, and every failure has a kind", {
  timeout: NIGHTLY ? 3_600_000 : 600_000,
}, async () => {
  let copied = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(keys, { maxLength: 4 }), fc.option(edits), async (more, edit) => {
      const storage = golden.clone();
      for (const key of more) storage.files.set(key, { bytes: Buffer.from(""), modifiedAtMs: 0 });
      if (edit !== null) {
        for (const path of golden.paths().filter((each) => each.includes(edit.file)))
          storage.files.set(path, { bytes: Buffer.from(edited(golden.text(path), edit.row, edit)), modifiedAtMs: 0 });
      }
      rmSync(join(folder, "repo2"), { recursive: true, force: true });
      mkdirSync(join(folder, "repo2"));
      const before = beside();
      const from = repository(1, { storage });
      const to = repository(2, {
        storage: new PosixStorage({
          root: join(folder, "repo2"),
          syncDirectories: false,
          symlinks: true,
          signal: testContext().signal,
        }),
      });
      const pool = inlinePool(new Map([from, to].map((repo) => [repo.key, repo])), testContext(), 2);
      for (const work of [
        () =>
          sync(
            from,
            to,
            pool,
            { scope: { kind: "all", retention: KEEP_ALL }, dryRun: false, headerCheck: false, lease: testLease() },
            testContext(),
          ),
        () => verify(from, pool, MADE_WAL_SIZE_BYTES, testContext()),
        () => listStanzas([from]),
      ]) {
        try {
          await work();
        } catch (error) {
          if (!isError(error) || error.kind === "assert") throw error;
        }
      }
      if (existsSync(join(folder, `repo2/backup/demo/${LABEL}/backup.manifest`))) copied++;
      expect(beside()).toEqual(before);
    }),
    { numRuns: NIGHTLY ? 800 : 30 },
  );
  expect(copied).toBeGreaterThan(0);
});
