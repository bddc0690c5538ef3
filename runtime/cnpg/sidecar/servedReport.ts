/**
 * `/report` and `/report.json` of a sidecar: what the verb `report` shows there. Only loopback inside the pod has it,
 * so that `kubectl port-forward` reaches it and no network does. PostgreSQL's superuser can run programs in the pod,
 * which reach it too: the password protects the page from them, and only the sidecar mounts its Secret.
 */
import { textOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { type HttpAnswer, serveHttp } from "../../web/httpServer";
import { ReportAnswer } from "../../operations/report/reportAnswer";
import type { ReportFile } from "../../operations/report/reportFields";
import type { CommandProcess } from "../../process/commandProcess";
import { REPORT_ADDRESS } from "../names";

const NOT_FOUND: HttpAnswer = { status: 404, text: "not found: use GET /report or /report.json\n" };

/**
 * Serves until `signal` aborts, and nothing without `report-password-file`. Never throws: a page that cannot be served
 * must not keep WAL from the archive. A changed password opens the sidecar again, and with it the page.
 */
export async function serveReport(
  { config, readFile }: Pick<CommandProcess, "config" | "readFile">,
  make: () => Promise<ReportFile>,
  ctx: Context,
  signal: AbortSignal,
  endpoint: { readonly address: string; readonly port: number } = REPORT_ADDRESS,
): Promise<void> {
  const { reportPasswordFile } = config.monitoring;
  if (reportPasswordFile === undefined) return;
  try {
    const bytes = await readFile(reportPasswordFile);
    if (bytes === null)
      throw fail("fileMissing", `missing file '${reportPasswordFile}': the Secret or its key is missing`);
    const report = new ReportAnswer(make, textOf(bytes).trim(), ctx.clock);
    const page = { what: "/report", hint: "Another program of the pod uses the port." };
    await serveHttp(endpoint, async (request) => (await report.to(request)) ?? NOT_FOUND, page, ctx, signal);
  } catch (error) {
    ctx.log.warn(`the report is not served: ${toBackupError(error).message}`);
  }
}
