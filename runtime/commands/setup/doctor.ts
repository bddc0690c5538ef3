/**
 * `doctor`: tries each repository's storage and key in a directory of its own, and looks at the host's units. Exit 0
 * when everything that backups need works; dangers (a key that deletes versions, a bucket without versions) are
 * reported and do not change the exit code.
 */
import type { RepoResult } from "../../base/parallel";
import { type JsonValue, renderJson } from "../../format/repository/json";
import { type Diagnosis, diagnose } from "../../operations/check/doctor";
import { hostError, type HostReport } from "../../operations/info/hostTroubles";
import { combinedError } from "../../operations/shared/results";
import type { Command, Invocation } from "../../process/commandProcess";
import { loadHostReport } from "../watch/hostReport";

/** For storages without multipart upload. */
const LARGE_SIZE_BYTES = 1024 * 1024;
const SECOND_PART_SIZE_BYTES = 1024;
type Fact = Diagnosis["facts"][number];

const SIGNS = { ok: "ok", warn: "WARN", fail: "FAIL", skip: "-" } as const;

export const doctorCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const scratch = `pgbackstop-doctor-${Buffer.from(ctx.random.bytes(8)).toString("hex")}`;
  const diagnoses: Diagnosis[] = [];
  for (const repo of proc.repositories()) {
    const options = { scratch, largeSizeBytes: largeSizeOf(proc, repo.key) };
    const diagnosis = await diagnose(repo, options, ctx);
    diagnoses.push(diagnosis);
    if (config.output !== "json") proc.print(factsText(`repo${repo.key}: ${diagnosis.name}`, diagnosis.facts));
  }
  const host = await loadHostReport(proc);
  if (config.output === "json")
    proc.print(
      `${renderJson({ version: 1, repos: diagnoses.map(diagnosisJson), host: hostFacts(host).map(factJson) })}\n`,
    );
  else proc.print(factsText("host", hostFacts(host)));
  const results = diagnoses.map(
    (value): RepoResult<Diagnosis> =>
      value.error === null
        ? { repoIndex: value.repoIndex, ok: true, value }
        : { repoIndex: value.repoIndex, ok: false, error: value.error },
  );
  const error = combinedError("doctor", results) ?? hostError(host.troubles);
  if (error !== null) throw error;
  return 0;
};

/** Object stores take larger files in parts: this needs two. */
function largeSizeOf(proc: Invocation, repoIndex: number): number {
  const partSizeBytes = proc.config.repos.find((repo) => repo.key === repoIndex)?.s3?.uploadChunkSizeBytes;
  return partSizeBytes === undefined ? LARGE_SIZE_BYTES : partSizeBytes + SECOND_PART_SIZE_BYTES;
}

function hostFacts({ notLookedAt, troubles }: HostReport): Fact[] {
  const facts = [
    ...troubles.map(({ message }): Fact => ({ name: "units", verdict: "fail", text: message })),
    ...notLookedAt.map((text): Fact => ({ name: "not looked at", verdict: "skip", text })),
  ];
  return facts.length > 0 ? facts : [{ name: "units", verdict: "ok", text: "systemd runs them as they were written" }];
}

function factsText(title: string, facts: readonly Fact[]): string {
  return [title, ...facts.map((fact) => `  ${SIGNS[fact.verdict].padEnd(5)}${fact.name}: ${fact.text}`), ""].join("\n");
}

/** `{"key","name","ok","facts":[{"name","verdict","text"}]}`. */
function diagnosisJson({ error, facts, name, repoIndex }: Diagnosis): JsonValue {
  return { key: repoIndex, name, ok: error === null, facts: facts.map(factJson) };
}

function factJson({ name, text, verdict }: Fact): JsonValue {
  return { name, verdict, text };
}
