/** Runs `doctor` for one storage, each time in a new directory, like the command. */
import { type Diagnosis, diagnose } from "../../runtime/operations/check/doctor";
import type { OpenDeps } from "../../runtime/storage/open";
import type { Storage } from "../../runtime/storage/storage";
import { testContext } from "./context";
import { OPEN_DEPS } from "./repositories";

/** A new number for each run, like the command. */
let runs = 0;
export const deps: OpenDeps = { ...OPEN_DEPS, ioTimeoutMs: 5_000 };
/** The checks that every working storage passes. */
export const GOOD = ["list", "write", "read", "range", "overwrite", "large", "broken-write", "remove", "missing"];

export async function doctor(storage: Storage, largeSizeBytes = 64 * 1024): Promise<Diagnosis> {
  const config = {
    stanza: "main",
    key: 1,
    name: "repo1",
    cipherType: "none",
    cipherPass: null,
    bundle: null,
    block: null,
  } as const;
  const repo = {
    ...config,
    storage,
    compress: { type: "none", level: 0 },
    hardLinks: false,
    latestLink: false,
  } as const;
  return diagnose(repo, { scratch: `pgbackstop-doctor-${runs++}`, largeSizeBytes }, testContext());
}

/** The facts in order, such as `ok list`. */
export function verdicts({ facts }: Diagnosis): string[] {
  return facts.map((fact) => `${fact.verdict} ${fact.name}`);
}
