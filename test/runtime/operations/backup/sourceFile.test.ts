import { closeSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { guardLinks } from "../../../../runtime/local/nodeFiles";
import { openSource } from "../../../../runtime/operations/backup/sourceFile";
import { temporaryFolder } from "../../repository/support";

// claim: docs/hosts/containers.md: a link that a container has made leads root to no file of the host
test("a file of a container is opened through no link, whenever that was made", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "data/base"), { recursive: true });
  mkdirSync(join(folder, "secret"));
  for (const path of ["data/base/1", "secret/1"]) writeFileSync(join(folder, path), path);
  const source = { sourcePath: join(folder, "data/base/1"), sizeBytes: 11 };
  const open = (over: Partial<typeof source> = {}): number | null => {
    const fd = openSource({ ...source, ...over });
    if (fd !== null) closeSync(fd);
    return fd;
  };
  guardLinks([join(folder, "data")]);
  expect(open()).toBeGreaterThan(0);
  expect(open({ sourcePath: join(folder, "data/base/2") })).toBeNull();
  // After the scan the directory is swapped for a link.
  renameSync(join(folder, "data/base"), join(folder, "data/old"));
  symlinkSync("../secret", join(folder, "data/base"));
  expect(() => open()).toThrow(`leads to '${join(folder, "secret/1")}' of this machine`);
  symlinkSync("../secret/1", join(folder, "data/file"));
  expect(() => open({ sourcePath: join(folder, "data/file") })).toThrow("is a link to '../secret/1'");
});
