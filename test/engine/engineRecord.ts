/** What the engine prints while the tests of a file run, and the secrets that neither it nor the state may contain. */
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { expect } from "vitest";
import type { RepoConfig } from "../../runtime/config/types";
import { openStorage } from "../../runtime/storage/open";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { findSecrets, holdsSecret } from "../harness/compare/secrets";
import { OPEN_DEPS } from "../harness/repositories";

export interface Changed {
  readonly changes: object;
  readonly text: string;
  readonly outputs: Record<string, { value: unknown; secret: boolean }>;
}

export class EngineRecord {
  readonly printed: string[] = [];

  async preview(stack: Stack, diff = true): Promise<Omit<Changed, "outputs">> {
    const { changeSummary, stderr, stdout } = await stack.preview({ diff });
    this.printed.push(stdout, stderr);
    return { changes: changeSummary, text: stdout + stderr };
  }

  async up(stack: Stack): Promise<Changed> {
    const { outputs, stderr, stdout, summary } = await stack.up();
    this.printed.push(stdout, stderr);
    return { changes: summary.resourceChanges ?? {}, text: stdout + stderr, outputs };
  }

  async destroy(stack: Stack): Promise<string> {
    const { stderr, stdout } = await stack.destroy();
    this.printed.push(stdout, stderr);
    return stdout;
  }

  /** @param shown is in the state: a search that finds nothing at all proves nothing */
  expectNone(secrets: readonly string[], { folder }: ProgramFolder, shown: string): void {
    const state = join(folder, "state");
    expect(findSecrets(state, secrets)).toEqual([]);
    expect(holdsSecret(this.printed.join("\n"), secrets)).toBe(false);
    expect(findSecrets(state, [shown]).length).toBeGreaterThan(0);
  }
}

/** A repository that takes a file, and has it then. */
export async function expectUsable(repo: RepoConfig): Promise<void> {
  const storage = openStorage(repo, OPEN_DEPS);
  expect(await storage.create?.("backup.info", Buffer.from("1"))).toBe(true);
  expect(await storage.stat("backup.info")).toMatchObject({ sizeBytes: 1 });
  await storage.close();
}
