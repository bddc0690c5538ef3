/** The operator's side of a plugin: names and numbers that would leave clusters without it. Pure. */
import { type Finding, finding } from "../findings/findings";

const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Findings in the order of the arguments. */
export function checkPlugin({ replicas, serviceName }: { readonly serviceName: string; readonly replicas: number }): Finding[] {
  const found: Finding[] = [];
  if (!NAME.test(serviceName)) {
    const fact = `"${serviceName}" is no name of a Service`;
    const hint = "lower-case letters, digits and hyphens, a letter first, at most 63";
    found.push(finding("PB110", "serviceName", fact, hint));
  } else if (/^pgbackrest(-|$)/.test(serviceName)) {
    const fact = `a Service named "${serviceName}" becomes environment variables PGBACKREST_… of every pod in its namespace, which pgBackRest reads as options`;
    found.push(finding("PB052", "serviceName", fact, `rename it, for instance to "cnpg-${serviceName}"`));
  }
  if (!Number.isInteger(replicas) || replicas < 1) {
    const hint = "two, so that one is there while the other restarts";
    found.push(finding("PB110", "replicas", `${replicas} is no number of replicas`, hint));
  }
  return found;
}
