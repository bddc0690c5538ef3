/**
 * `metrics`: state of backups for Prometheus, on standard output, with `--output-file` for the textfile collector, and
 * with `--otlp` for a receiver of OpenTelemetry. An unreadable repository is a sample, not an error: the exit code is 0
 * whatever the backups are.
 */
import { stat } from "../../local/nodeFiles";
import { dirname } from "node:path";
import { textOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { parseEnvFile } from "../../config/secretFiles";
import { atomicWrite } from "../../local/atomicWrite";
import { DEFINITIONS } from "../../metrics/definitions";
import { gatherSamples } from "../../metrics/gather";
import { pushMetrics } from "../../metrics/otlp";
import { type OtlpTarget, otlpTarget } from "../../metrics/otlpTarget";
import { renderMetrics } from "../../metrics/text";
import type { Command, Invocation, MachineAccess } from "../../process/commandProcess";
import { loadTroubles } from "./status";

/** The collector runs as another account. */
const FILE_MODE = 0o644;

export const metricsCommand: Command = async (proc) => {
  const { otlp, otlpFile, outputFile } = proc.config.monitoring;
  const target = otlp || otlpFile !== undefined ? await targetOf(proc) : null;
  const samples = await gatherSamples(proc, loadTroubles);
  if (outputFile !== undefined) await writeTextfile(outputFile, renderMetrics(DEFINITIONS, samples));
  else if (target === null) proc.print(renderMetrics(DEFINITIONS, samples));
  if (target !== null) await pushMetrics(target, samples, proc, proc.ctx);
  return 0;
};

/** @throws fileMissing, optionRequired, optionInvalidValue */
async function targetOf({ config, machine, readFile }: Invocation & MachineAccess): Promise<OtlpTarget> {
  const { environment, hostName } = machine;
  const { otlpFile } = config.monitoring;
  const credentials = environment["CREDENTIALS_DIRECTORY"];
  const path = otlpFile ?? (credentials === undefined ? undefined : `${credentials}/otlp.env`);
  const bytes = path === undefined ? null : await readFile(path);
  if (bytes === null && otlpFile !== undefined)
    throw fail("fileMissing", `missing file '${otlpFile}' of otlp-file`, {
      path: otlpFile,
      hint: "Create it, or omit otlp-file.",
    });
  const variables = bytes === null ? environment : { ...environment, ...parseEnvFile(textOf(bytes)) };
  // Prometheus makes `job` and `instance` of the first two.
  const usual = { "service.name": "pgbackstop", "service.instance.id": hostName, "host.name": hostName };
  return otlpTarget(variables, usual);
}

/**
 * Atomic, because the collector may read at any time and reads only `.prom`.
 * @throws pathMissing (73) without the directory: the collector would not look into one created here
 */
async function writeTextfile(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  if ((await stat(directory).catch(() => null)) === null) {
    throw fail("pathMissing", `unable to write '${path}': its directory does not exist`, {
      path,
      hint: "Use the directory of node_exporter's --collector.textfile.directory; in Debian it is /var/lib/prometheus/node-exporter.",
    });
  }
  await atomicWrite(path, Buffer.from(text), { mode: FILE_MODE });
}
