/**
 * `doctor`: tries each repository's storage and key in a directory of its own. Exit 0 when everything that backups need
 * works; dangers (a key that deletes versions, a bucket without versions) are reported and do not change the exit code.
 */
import type { RepoResult } from "../../base/parallel";
import { type JsonValue, renderJson } from "../../format/repository/json";
import { type Diagnosis, diagnose } from "../../operations/check/doctor";
import { combinedError } from "../../operations/shared/results";
import type { Command, Invocation } from "../../process/commandProcess";

/** For storages without multipart upload. */
const LARGE_SIZE_BYTES = 1024 * 1024;
const SECOND_PART_SIZE_BYTES = 1024;
const SIGNS = { ok: "ok", warn: "WARN", fail: "FAIL", skip: "-" } as const;

export const doctorCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const scratch = `pgbackstop-doctor-${Buffer.from(ctx.random.bytes(8)).toString("hex")}`;
  const diagnoses: Diagnosis[] = [];
  for (const repo of proc.repositories()) {
    const options = { scratch, largeSizeBytes: largeSizeOf(proc, repo.key) };
    const diagnosis = await diagnose(repo, options, ctx);
    diagnoses.push(diagnosis);
    if (config.output !== "json") proc.print(diagnosisText(diagnosis));
  }
  if (config.output === "json") proc.print(`${renderJson({ version: 1, repos: diagnoses.map(diagnosisJson) })}\n`);
  const results = diagnoses.map(
    (value): RepoResult<Diagnosis> =>
      value.error === null
        ? { repoIndex: value.repoIndex, ok: true, value }
        : { repoIndex: value.repoIndex, ok: false, error: value.error },
  );
  const error = combinedError("doctor", results);
  if (error !== null) throw error;
  return 0;
};

/** Object stores take larger files in parts: this needs two. */
function largeSizeOf(proc: Invocation, repoIndex: number): number {
  const partSizeBytes = proc.config.repos.find((repo) => repo.key === repoIndex)?.s3?.uploadChunkSizeBytes;
  return partSizeBytes === undefined ? LARGE_SIZE_BYTES : partSizeBytes + SECOND_PART_SIZE_BYTES;
}

function diagnosisText({ facts, name, repoIndex }: Diagnosis): string {
  const lines = facts.map((fact) => `  ${SIGNS[fact.verdict].padEnd(5)}${fact.name}: ${fact.text}`);
  return [`repo${repoIndex}: ${name}`, ...lines, ""].join("\n");
}

/** `{"key","name","ok","facts":[{"name","verdict","text"}]}`. */
function diagnosisJson({ error, facts, name, repoIndex }: Diagnosis): JsonValue {
  return {
    key: repoIndex,
    name,
    ok: error === null,
    facts: facts.map((fact) => ({ name: fact.name, verdict: fact.verdict, text: fact.text })),
  };
}
