/**
 * A stack of the last release, on the real engine: this package updates it, the last release takes it over again, and
 * this package removes it. `test/interop/skew.test.ts` has the other rows of the table in docs/upgrading.md.
 */
import { createHash } from "node:crypto";
import { readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LocalOutputs, LocalSettings } from "../../examples/local/program";
import { projectFolder } from "../../tools/parts/cache";
import { NIGHTLY } from "../../tools/parts/nightly";
import { run, runOk } from "../../tools/parts/process";
import { loadExample, openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { lastReleaseOrSkip } from "../harness/lastRelease";
import { LocalHost } from "./localHost";

type Program = (settings: LocalSettings) => LocalOutputs;

describe("a stack of the last release", async () => {
  const release = await lastReleaseOrSkip("stacks of the last release");
  if (release === null) return;
  let host: LocalHost;
  /** The same stacks, with the last release as the package. */
  let formerFolder: ProgramFolder;
  let former: Program;
  let present: Program;

  beforeAll(async () => {
    host = await LocalHost.create();
    formerFolder = await makeProgramFolder();
    const own = join(formerFolder.folder, "node_modules", "pgbackstop");
    rmSync(own);
    symlinkSync(release.folder, own);
    rmSync(join(formerFolder.folder, "state"), { recursive: true });
    symlinkSync(join(host.programFolder.folder, "state"), join(formerFolder.folder, "state"));
    ({ program: former } = await loadExample<{ program: Program }>(formerFolder, "local"));
    ({ program: present } = await loadExample<{ program: Program }>(host.programFolder, "local"));
  });
  afterAll(async () => {
    await host?.remove();
    removeProgramFolder(formerFolder);
  });

  const openFormer = (): Promise<Stack> => openStack(formerFolder, "skew", async () => former(host.settings()));
  const openPresent = (): Promise<Stack> => openStack(host.programFolder, "skew", async () => present(host.settings()));
  /** Kinds of changes, without resources that stay. */
  const changesOf = async (stack: Stack): Promise<string[]> =>
    Object.entries((await stack.preview()).changeSummary).flatMap(([kind, count]) =>
      kind === "same" || count === 0 ? [] : [kind],
    );
  const runtimeDigest = (): string => digestOf(host.path("lib", "runtime.cjs"));
  const expectBackup = async (): Promise<void> => {
    const argv = [host.path("lib", "runtime.cjs"), `--config-path=${host.path("etc")}`, "--stanza=main"];
    const options = { user: host.cluster.user, cwd: host.folder };
    await runOk(host.nodePath, [...argv, "backup", "--type=incr"], options);
    const check = await run(host.nodePath, [...argv, "check"], options);
    expect(check.exitCode, check.stdout).toBe(0);
  };

  // claim: docs/upgrading.md: a stack of the last release is updated in place, taken back by it, and removed
  test("is updated in place by this package, taken back by the last release, and removed", async () => {
    const made = await (await openFormer()).up();
    expect(runtimeDigest()).toBe(digestOf(join(release.folder, "dist", "runtime.cjs")));

    expect(await changesOf(await openPresent())).toEqual(["update"]);
    const updated = await (await openPresent()).up();
    expect(updated.outputs["passphrase"]).toEqual(made.outputs["passphrase"]);
    expect(runtimeDigest()).toBe(digestOf(join(projectFolder(), "dist", "runtime.cjs")));
    await expectBackup();
    expect(await changesOf(await openPresent())).toEqual([]);

    expect(await changesOf(await openFormer())).toEqual(["update"]);
    await (await openFormer()).up();
    expect(runtimeDigest()).toBe(digestOf(join(release.folder, "dist", "runtime.cjs")));
    await expectBackup();
    if (NIGHTLY) {
      // The state of one version, read again by the other.
      await (await openPresent()).refresh();
      await (await openFormer()).refresh();
      expect(await changesOf(await openFormer())).toEqual([]);
    }
    await (await openPresent()).destroy();
  });
});

function digestOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
