/**
 * `info`: text, or stock's JSON with `--output=json`. Exits with 0 whatever the state of backups, as in stock, with one
 * exception: when repositories are unreadable, lack the stanza that another one has, or lack dropped WAL after their
 * newest backup, and the rest do not satisfy the acknowledgement policy. The output has the reason: an error line would
 * break the JSON.
 */
import { fail } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import { renderJson } from "../../format/repository/json";
import type { Config } from "../../config/types";
import {
  type Destination,
  destinationLine,
  destinationsJson,
  listDestinations,
} from "../../operations/info/destinations";
import {
  collectInfo,
  type InfoReport,
  InfoStatus,
  infoJson,
  listStanzas,
  progressJson,
} from "../../operations/info/info";
import { infoText, progressText } from "../../operations/info/infoText";
import { factsOf } from "../../recoverability/facts";
import { policyError } from "../../operations/shared/results";
import { reportedOpened } from "../opened";
import type { Command, Invocation, LockAccess, RepositoryAccess, Terminal } from "../../process/commandProcess";

export const infoCommand: Command = async (proc) => {
  const { config } = proc;
  if (config.set !== undefined && config.info.detailLevel !== "full") {
    throw fail(
      "optionInvalid",
      `option 'set' cannot be used with option 'detail-level' = '${config.info.detailLevel}'`,
    );
  }
  const stanzas = config.stanza === undefined ? await listStanzas(proc.repositories()) : [config.stanza];
  if (config.info.detailLevel === "destinations") return printDestinations(proc, stanzas);
  const reports: InfoReport[] = [];
  for (const stanza of stanzas) reports.push(await reportOf(proc, stanza));
  proc.print(config.output === "json" ? jsonOf(config.info, reports) : textOf(config.info, reports));
  const codes = reports.map(
    (report) => policyError("info", troubles(report), config.settings.acknowledge)?.exitCode ?? 0,
  );
  return codes.find((code) => code !== 0) ?? 0;
};

/** `check` judges a repository without a full backup. */
async function printDestinations(
  proc: Invocation & RepositoryAccess & Terminal,
  stanzas: readonly string[],
): Promise<number> {
  const { config } = proc;
  const answers: { readonly stanza: string; readonly results: RepoResult<Destination>[] }[] = [];
  for (const stanza of stanzas)
    answers.push({ stanza, results: await listDestinations(proc.repositories().map((repo) => ({ ...repo, stanza }))) });
  const text = answers.map(({ stanza, results }) =>
    [`stanza: ${stanza}`, ...results.map((result) => `    ${destinationLine(result)}`), ""].join("\n"),
  );
  proc.print(
    config.output === "json"
      ? renderJson(answers.map(({ stanza, results }) => destinationsJson(stanza, results)))
      : text.join("\n") || "No stanzas exist in the repository.\n",
  );
  const codes = answers.map(({ results }) => policyError("info", results, config.settings.acknowledge)?.exitCode ?? 0);
  return codes.find((code) => code !== 0) ?? 0;
}

async function reportOf(proc: Invocation & RepositoryAccess & LockAccess, stanza: string): Promise<InfoReport> {
  const repos = factsOf(proc.repositories().map((repo) => ({ ...repo, stanza })));
  const { info, set } = proc.config;
  const locks = { backup: proc.lockState("backup", stanza), restore: proc.lockState("restore", stanza) };
  const opened = await reportedOpened(proc, stanza);
  return collectInfo(repos, proc.missingWal(stanza), { stanza, set, type: info.type, locks, opened, extras: true });
}

function jsonOf({ detailLevel }: Config["info"], reports: readonly InfoReport[]): string {
  return renderJson(reports.map(detailLevel === "progress" ? progressJson : infoJson));
}

function textOf({ detailLevel }: Config["info"], reports: readonly InfoReport[]): string {
  if (reports.length === 0) return "No stanzas exist in the repository.\n";
  return reports.map(detailLevel === "progress" ? progressText : infoText).join("\n");
}

/** Unreadable, without a stanza that another repository has (an empty mount point), or with dropped WAL. */
function troubles({ repos, stanza }: InfoReport): RepoResult<null>[] {
  const known = repos.some((repo) => repo.info !== null);
  return repos.map(({ key, error, info, status, droppedCount }): RepoResult<null> => {
    if (error !== null) return { repoIndex: key, ok: false, error };
    if (droppedCount > 0)
      return { repoIndex: key, ok: false, error: fail("fileMissing", "WAL was dropped", { repoIndex: key }) };
    if (info !== null || !known || status.code === InfoStatus.missingBackup.code)
      return { repoIndex: key, ok: true, value: null };
    return {
      repoIndex: key,
      ok: false,
      error: fail("fileMissing", `stanza '${stanza}': ${status.message}`, { repoIndex: key }),
    };
  });
}
