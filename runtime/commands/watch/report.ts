/**
 * `report`: a page about this host's database, or about those of other hosts' documents (`report --format=json`). Exits
 * with 0 whatever it shows: `status` and `check` are for scripts.
 */
import { checkDeclared, problemHint, problemText } from "../../base/declaredTypes";
import { textOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { FILE_DECLARATIONS } from "../../base/fileDeclarations";
import { given } from "../../base/given";
import { GCS_ENDPOINT } from "../../config/options";
import { findPrice, PRICES_AS_OF, storageCost } from "../../storage/prices";
import { parseJson } from "../../config/settings";
import type { RepoConfig } from "../../config/types";
import { loadDrillHistory, loadLocalDrills } from "../../operations/drill/history";
import { collectReport } from "../../operations/report/collectReport";
import type { ReportedCost, ReportedDatabase, ReportFile } from "../../operations/report/reportFields";
import { renderReportPage } from "../../operations/report/reportPage";
import type { Command, CommandProcess, MachineAccess } from "../../process/commandProcess";
import { factsOf } from "../../recoverability/facts";
import { findQuirks } from "../../storage/s3/quirks";
import { loadStatus } from "./status";

export const reportCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const document = await reportDocument(proc);
  const page = (): string => renderReportPage(document, Math.floor(ctx.clock.nowMs() / 1000));
  proc.print(config.report.format === "json" ? `${JSON.stringify(document)}\n` : page());
  return 0;
};

/** @throws optionRequired (37) without a stanza or documents of others */
export async function reportDocument(proc: CommandProcess): Promise<ReportFile> {
  const { params, stanza } = proc.config;
  const databases: ReportedDatabase[] = [];
  for (const path of params) databases.push(...(await readDocument(proc, path)).databases);
  if (params.length === 0) {
    if (stanza === undefined)
      throw fail("optionRequired", "report command requires option: stanza", {
        hint: "Or name the documents to show, which other hosts wrote: report --format=json > orders.json",
      });
    databases.push(await ownDatabase(proc));
  }
  return { version: 1, databases };
}

async function ownDatabase(proc: CommandProcess): Promise<ReportedDatabase> {
  const { config, ctx, machine } = proc;
  const repos = factsOf(proc.repositories());
  const { rpoSeconds, rtoSeconds } = config.settings.drill?.objectives ?? {};
  const local = await loadLocalDrills(config.spoolPath, config.stanza ?? "");
  return collectReport({
    host: machine.hostName,
    repos,
    status: await loadStatus(proc, repos),
    drills: await loadDrillHistory(
      repos.map(({ remembered }) => remembered),
      ctx,
      local,
    ),
    costOf: (key, storedBytes) => costOf(proc, key, storedBytes),
    objectives: given({ rpoSeconds, rtoSeconds }),
  });
}

/** Null for directories, and for a service or storage class without a price. */
function costOf({ config }: CommandProcess, key: number, storedBytes: number): ReportedCost | null {
  const repo = config.repos.find((each) => each.key === key);
  const provider = repo === undefined ? null : providerOf(repo);
  const price = provider === null ? null : findPrice(provider, config.settings.repos[key]?.storageClass);
  if (price === null) return null;
  const usdPerMonth = Math.round(storageCost(price, storedBytes / 1e9) * 100) / 100;
  return { usdPerMonth, asOf: PRICES_AS_OF };
}

/** As in the table of prices; null for directories and for services of the user's own. */
function providerOf({ azure, gcs, s3 }: RepoConfig): string | null {
  if (s3 !== undefined) return findQuirks(s3.quirks, s3.storageHost ?? s3.endpoint)?.id ?? null;
  if (azure !== undefined) return azure.storageHost === undefined ? "azure" : null;
  return gcs !== undefined && gcs.endpoint === GCS_ENDPOINT ? "gcs" : null;
}

/** A document may come from anybody: only what the declarations know gets into the page. @throws fileMissing, config */
async function readDocument(proc: MachineAccess, path: string): Promise<ReportFile> {
  const bytes = await proc.readFile(path);
  if (bytes === null) throw fail("fileMissing", `unable to open missing file '${path}' for read`);
  const value = parseJson(textOf(bytes), path);
  const [problem] = checkDeclared("ReportFile", value, FILE_DECLARATIONS, { owner: "the file", ignoresUnknown: true });
  if (problem !== undefined) throw fail("config", `${path}: ${problemText(problem)}`, { hint: problemHint(problem) });
  return value as ReportFile;
}
