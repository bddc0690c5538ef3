/** The plugin's objects beside the operator: names and numbers that would leave clusters without the plugin. Pure. */
import { type Finding, finding } from "../findings/findings";

const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

export function checkPlugin({
  replicas,
  serviceName,
}: {
  readonly serviceName: string;
  readonly replicas: number;
}): Finding[] {
  const findings: Finding[] = [];
  if (!NAME.test(serviceName)) {
    const fact = `"${serviceName}" is not a name for a Service`;
    const hint = "use lower-case letters, digits and hyphens, a letter first, at most 63";
    findings.push(finding("PB110", "serviceName", fact, hint));
  } else if (/^pgbackrest(-|$)/.test(serviceName)) {
    const fact = `a Service named "${serviceName}" becomes environment variables PGBACKREST_… in every pod in its namespace, which pgBackRest reads as options`;
    findings.push(finding("PB052", "serviceName", fact, `rename it, for instance to "cnpg-${serviceName}"`));
  }
  if (!Number.isInteger(replicas) || replicas < 1) {
    const hint = "set 2, so that one is available while the other restarts";
    findings.push(finding("PB110", "replicas", `${replicas} is not a number of replicas`, hint));
  }
  return findings;
}
