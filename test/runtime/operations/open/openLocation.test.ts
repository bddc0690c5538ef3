import { expect, test } from "vitest";
import { parseMountTable } from "../../../../runtime/base/mountTable";
import { bootId } from "../../../../runtime/local/lockState";
import { bootOf } from "../../../../runtime/operations/open/openLocation";

const mountsOf = (id: number): ReturnType<typeof parseMountTable> =>
  parseMountTable(
    [
      "21 1 254:0 / / rw - ext4 /dev/vda rw",
      `${id} 21 254:16 / /mnt/data rw - ext4 /dev/vdb rw`,
      "40 21 0:45 / /mnt/data/past rw - fuse pgbackstop rw,user_id=0",
    ].join("\n"),
  );

// claim: docs/open.md: pages that were not synced do not count once their file system was mounted again
test("another mount of the file system is like another start of the machine", () => {
  const folder = "/mnt/data/past.pgbackstop";
  const first = bootOf(folder, mountsOf(30), () => 7);
  expect(first).toBe(`${bootId()}-30-7`);
  // The number of a mount is given again, the kernel's entry of the file system is not.
  expect([bootOf(folder, mountsOf(31), () => 7), bootOf(folder, mountsOf(30), () => 8)]).toEqual([
    `${bootId()}-31-7`,
    `${bootId()}-30-8`,
  ]);
  expect(bootOf("/mnt/database/past.pgbackstop", mountsOf(30), ({ id }) => Number(id))).toBe(`${bootId()}-21-21`);
  expect(bootOf(process.cwd())).toMatch(/^[0-9a-f-]{36}-\d+-\d+$/);
});
