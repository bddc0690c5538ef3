/**
 * Secrets that systemd passes to a host's units: names of credentials and their source files, never their content. The
 * runtime reads `repoN….conf` as configuration, because the units name their credentials' directory as include
 * directory. A file named like an option (`repo2-sftp-private-key-file`) stands for that option
 * (runtime/config/secretFiles.ts).
 */
import { runtimeArgv, secretsDirectory } from "../../plan/host/hostCommand";
import type { HostPlan } from "../../plan/model/plan";
import { typeOf } from "../../plan/repositories/repositoryTypes";
import { systemdArgument } from "./commandLine";
import { credentialsPath, notifyPath, OTLP_FILE, otlpPath, REPORT_PASSWORD, reportPasswordPath } from "./renderedFile";

interface HostCredential {
  readonly id: string;
  readonly path: string;
}

/** The units' file with notification targets. */
export const NOTIFY_CREDENTIAL = "notify.json";

/** In the order of the repositories; empty without an agent. */
export function hostCredentials(plan: HostPlan): HostCredential[] {
  if (!plan.agent) return [];
  const { credentialsDirectory } = plan;
  const placed = writtenCredentials(plan);
  return credentialsDirectory === undefined
    ? placed
    : placed.map(({ id }) => ({ id, path: `${credentialsDirectory}/${id}` }));
}

function writtenCredentials(plan: HostPlan): HostCredential[] {
  return plan.repositories.flatMap((repository) => {
    const { name, secretFiles = {}, writesSecrets } = repository;
    const key = typeOf(repository).keyFile(repository, secretsDirectory(plan));
    const paths: Readonly<Record<string, string>> = {
      ...(writesSecrets ? { [`${name}.conf`]: credentialsPath(plan, name) } : {}),
      ...secretFiles,
      ...(key === null ? {} : { [`${name}-${key.option}`]: key.path }),
    };
    return Object.entries(paths).map(([id, path]) => ({ id, path }));
  });
}

/** Lines of `[Service]` that hand them over. */
export function credentialLines(plan: HostPlan): string[] {
  return hostCredentials(plan).map(({ id, path }) => `LoadCredential=${id}:${path.replaceAll("%", "%%")}`);
}

/** Lines for the notification targets. */
export function notifyLines(plan: HostPlan): string[] {
  return fileLines(plan, NOTIFY_CREDENTIAL, plan.notifyFile ?? notifyPath(plan));
}

/** Lines for the receiver of metrics: its keys are in no environment. */
export function otlpLines(plan: HostPlan): string[] {
  return fileLines(plan, OTLP_FILE, plan.otlpFile ?? otlpPath(plan));
}

/** Lines for the password of the report; none if it is not served. */
export function reportLines(plan: HostPlan): string[] {
  return plan.servesReport ? fileLines(plan, REPORT_PASSWORD, reportPasswordPath(plan)) : [];
}

function fileLines({ agent, credentialsDirectory }: HostPlan, id: string, path: string): string[] {
  if (!agent) return [];
  const source = credentialsDirectory === undefined ? path : `${credentialsDirectory}/${id}`;
  return [`LoadCredential=${id}:${source.replaceAll("%", "%%")}`];
}

/** With an agent, the file is a credential ({@link otlpLines}). */
export function otlpOption(plan: HostPlan): string {
  return plan.agent ? "--otlp" : `--otlp-file=${plan.otlpFile ?? otlpPath(plan)}`;
}

/** The notifying verb's arguments. */
export function notifyArgs(plan: HostPlan, event: string): string[] {
  return ["notify", `--event=${event}`, ...notifyOptions(plan)];
}

/** With an agent, the file is a credential ({@link notifyLines}). */
export function notifyOptions(plan: HostPlan): string[] {
  return plan.agent ? [] : [`--notify-file=${plan.notifyFile ?? notifyPath(plan)}`];
}

/** Program and options for an `ExecStart=`: with the secrets, whatever their location. */
export function unitCommand(plan: HostPlan, args: readonly string[]): string {
  const given = hostCredentials(plan).length === 0 ? [] : ["--config-include-path=${CREDENTIALS_DIRECTORY}"];
  return [...runtimeArgv(plan).map(systemdArgument), ...given, ...args.map(systemdArgument)].join(" ");
}
