/**
 * `report`: a page about this host's database, or about those of other hosts' documents (`report --format=json`). Exits
 * with 0 whatever it shows: `status` and `check` are for scripts.
 */
import { checkDeclared, problemHint, problemText } from "../../base/declaredTypes";
import { textOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { FILE_DECLARATIONS } from "../../base/fileDeclarations";
import { given } from "../../base/given";
import { parseJson } from "../../config/settings";
import { loadDrillHistory, loadLocalDrills } from "../../operations/drill/history";
import { collectReport } from "../../operations/report/collectReport";
import type { ReportedDatabase, ReportFile } from "../../operations/report/reportFields";
import { renderReportPage } from "../../operations/report/reportPage";
import type { Command, CommandProcess, MachineAccess } from "../../process/commandProcess";
import { loadStatus } from "./status";

export const reportCommand: Command = async (proc) => {
  const { params, report, stanza } = proc.config;
  const databases: ReportedDatabase[] = [];
  for (const path of params) databases.push(...(await readDocument(proc, path)).databases);
  if (params.length === 0) {
    if (stanza === undefined)
      throw fail("optionRequired", "report command requires option: stanza", {
        hint: "Or name the documents to show, which other hosts wrote: report --format=json > orders.json",
      });
    databases.push(await ownDatabase(proc));
  }
  const document: ReportFile = { version: 1, databases };
  proc.print(report.format === "json" ? `${JSON.stringify(document)}\n` : renderReportPage(document));
  return 0;
};

async function ownDatabase(proc: CommandProcess): Promise<ReportedDatabase> {
  const { config, ctx, machine } = proc;
  const repos = proc.repositories();
  const { rpoSeconds, rtoSeconds } = config.settings.drill?.objectives ?? {};
  const local = await loadLocalDrills(config.spoolPath, config.stanza ?? "");
  return collectReport({
    host: machine.hostName,
    repos,
    status: await loadStatus(proc),
    drills: await loadDrillHistory(repos, ctx, local),
    objectives: given({ rpoSeconds, rtoSeconds }),
  });
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
