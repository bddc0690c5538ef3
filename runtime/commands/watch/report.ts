/** `report`: a page about this host's database, or about those of other hosts' documents (`report --format=json`). */
import { checkDeclared, problemHint, problemText } from "../../base/declaredTypes";
import { textOf } from "../../base/bytes";
import { ERRORS, fail, toBackupError } from "../../base/errors";
import { FILE_DECLARATIONS } from "../../base/fileDeclarations";
import { given } from "../../base/given";
import { GCS_ENDPOINT } from "../../config/options";
import { findPrice, PRICES_AS_OF, storageCost } from "../../storage/prices";
import type { RepoConfig } from "../../config/types";
import { loadDrillHistory, loadLocalDrills } from "../../operations/drill/history";
import { collectReport } from "../../operations/report/collectReport";
import {
  documentTroubles,
  judgeReport,
  needsAttention,
  type ReportDocument,
} from "../../operations/report/judgeReport";
import type { ReportedCost, ReportedDatabase, ReportFile } from "../../operations/report/reportFields";
import { renderReportPage } from "../../operations/report/reportPage";
import { shellQuote } from "../../operations/restore/recovery";
import type { Command, CommandProcess, MachineAccess } from "../../process/commandProcess";
import { factsOf } from "../../recoverability/facts";
import { findQuirks } from "../../storage/s3/quirks";
import { loadStatus } from "./status";

/** A page exits with 104 if its headline is not well; JSON is for a page, which judges it. */
export const reportCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { params, report } = config;
  const documents: ReportDocument[] = [];
  for (const path of params) documents.push({ path, file: await readDocument(proc, path) });
  if (params.length === 0) documents.push({ path: null, file: await reportDocument(proc) });
  if (report.format === "json") {
    const file = joined(documents);
    proc.print(`${JSON.stringify(file)}\n`);
    return file.troubles === undefined ? 0 : ERRORS.command;
  }
  const expected = { databases: report.expect ?? [], withinS: report.expectWithinMs / 1000 };
  const judged = judgeReport(documents, Math.floor(ctx.clock.nowMs() / 1000), expected);
  proc.print(renderReportPage(judged));
  return needsAttention(judged) ? ERRORS.command : 0;
};

/** About this host's database. @throws optionRequired (37) without a stanza */
export async function reportDocument(proc: CommandProcess): Promise<ReportFile> {
  if (proc.config.stanza === undefined)
    throw fail("optionRequired", "report command requires option: stanza", {
      hint: "Or name the documents to show, which other hosts wrote: report --format=json > orders.json",
    });
  return { version: 1, databases: [await ownDatabase(proc)] };
}

function joined(documents: readonly ReportDocument[]): ReportFile {
  const troubles = documents.flatMap(documentTroubles);
  const databases = documents.flatMap(({ file }) => file.databases);
  return { version: 1, databases, ...(troubles.length === 0 ? {} : { troubles }) };
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

/**
 * A document may come from anybody: only what the declarations know gets into the page. One that cannot be read is a
 * trouble, and hides nothing of the others.
 */
async function readDocument(proc: MachineAccess, path: string): Promise<ReportFile> {
  try {
    return parsed(await proc.readFile(path), path);
  } catch (error) {
    const { hints, message, name } = toBackupError(error, "fileRead");
    const again = `Write it again on its host: pgbackstop --stanza=NAME report --format=json > ${shellQuote(path)}`;
    const trouble = { error: name, message: message.includes(path) ? message : `${path}: ${message}` };
    return { version: 1, databases: [], troubles: [{ ...trouble, hints: [...hints, again] }] };
  }
}

/** @throws fileMissing, fileInvalid, config */
function parsed(bytes: Uint8Array | null, path: string): ReportFile {
  if (bytes === null) throw fail("fileMissing", `missing document '${path}'`);
  if (bytes.length === 0) throw fail("fileInvalid", `document '${path}' is empty`);
  const value = valueIn(textOf(bytes), path);
  const [problem] = checkDeclared("ReportFile", value, FILE_DECLARATIONS, { owner: "the file", ignoresUnknown: true });
  if (problem !== undefined)
    throw fail("config", `document '${path}': ${problemText(problem)}`, { hint: problemHint(problem) });
  return value as ReportFile;
}

function valueIn(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw fail("fileInvalid", `document '${path}' is not valid JSON, or is cut short`);
  }
}
