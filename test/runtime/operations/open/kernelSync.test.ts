/** What the kernel asks for when a server syncs its files: a commit that nobody has asked to sync could be lost. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { FuseDevice, mountDevice, openDevice } from "../../../../runtime/fuse/device";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { fuseMissing } from "../../../harness/real/openedBackup";
import { temporaryFolder } from "../../repository/support";
import { type UpperWorld, upperWorlds } from "./upperWorld";

const make = upperWorlds();
/** The mounted directory must not be touched by this process, which answers for it. */
const program = promisify(execFile);

async function mounted(world: UpperWorld, work: (at: string, asked: string[]) => Promise<void>): Promise<void> {
  const at = join(temporaryFolder(), "mounted");
  mkdirSync(at);
  const asked: string[] = [];
  const fd = openDevice();
  const signal = new AbortController().signal;
  const device = FuseDevice.serve(
    fd,
    {
      handle: (request, node) => {
        if (["write", "fsync", "fsyncdir", "rename"].includes(request.kind)) asked.push(request.kind);
        return world.files.handle(request, node);
      },
      readNow: (request, node, target, begin) => world.files.readNow(request, node, target, begin),
      failed: (error, request, node) => world.files.failed(error, request, node),
    },
    { clock: systemClock, signal },
  );
  await mountDevice(fd, at, world.lock);
  try {
    await work(at, asked);
  } finally {
    await program("umount", [at]);
    await device.ended;
  }
}

const dd = (file: string, ...args: string[]) =>
  program("dd", ["if=/dev/zero", `of=${file}`, `bs=${PAGE_BYTES}`, "count=3", "conv=notrunc", ...args]);

// claim: docs/hosts/instant.md: a sync of PostgreSQL, with each of its methods, is answered when file and journal are
//   on the disk
test("each way to sync a file asks us before it ends", async (context) => {
  if (fuseMissing() !== null) return context.skip();
  const world = make({ "base/1": 8 * PAGE_BYTES });
  await mounted(world, async (at, asked) => {
    const file = join(at, "base/1");
    const take = (): string => asked.splice(0).join(" ");
    // wal_sync_method=open_datasync and open_sync.
    await dd(file, "oflag=dsync");
    expect(take()).toBe("write fsync write fsync write fsync");
    await dd(file, "oflag=sync");
    expect(take()).toBe("write fsync write fsync write fsync");
    // fdatasync and fsync, also with debug_io_direct.
    for (const method of ["conv=notrunc,fdatasync", "conv=notrunc,fsync"])
      for (const flag of [[], ["oflag=direct"]]) {
        await dd(file, method, ...flag);
        expect(take()).toBe("write write write fsync");
      }
    // A file that nothing backs, its name, and a new name.
    await dd(join(at, "base/2"), "conv=fsync");
    await program("mv", [join(at, "base/2"), join(at, "base/3")]);
    await program("sync", [join(at, "base")]);
    expect(take()).toBe("write write write fsync rename fsyncdir");
  });
});

test("a sync that fails is an error of the write that waited for it", async (context) => {
  if (fuseMissing() !== null) return context.skip();
  const world = make({ "base/1": 8 * PAGE_BYTES });
  await mounted(world, async (at) => {
    world.diesAtSync = true;
    await expect(dd(join(at, "base/1"), "oflag=dsync")).rejects.toThrow(/Input\/output error/);
    await expect(dd(join(at, "base/1"), "conv=notrunc,fdatasync")).rejects.toThrow(/Input\/output error/);
    world.diesAtSync = false;
  });
});
