/** A bucket or container as repo2 of a host, next to a NAS, and as the repository of a cluster. */
import { findingText } from "../../../components/plan/findings/findings";
import type { TargetSettings } from "../../../components/plan/repositories/repositoryTypes";
import { checkHost } from "../../../components/plan/rules";
import { attacked } from "../../../components/plan/runbook/attacked";
import { appliedLines } from "../../../components/plan/runbook/markdown";
import { topologyOf } from "../../../components/plan/topology/topology";
import { renderGitops } from "../../../components/render/kubernetes/gitops";
import { NAS, plan } from "../plans";

/** @param more of the repository's own arguments */
export function planWith(target: TargetSettings, more: object = {}): ReturnType<typeof plan> {
  return plan({ repositories: { repo1: NAS, repo2: { at: target, keepDays: 30, ...more } } });
}

/** Findings about repo2. */
export function findingsOf(host: ReturnType<typeof plan>): string[] {
  return checkHost(host)
    .filter(({ path }) => path.startsWith("repositories.repo2"))
    .map(findingText);
}

/** Codes for a host that only restores from it, and texts for one whose drill attacks it. */
export function refusalsOf(at: TargetSettings): { readonly restoring: readonly string[]; readonly attacking: string } {
  const restoring = plan({ restoreOnly: true, schedules: {}, repositories: { repo1: { at } } });
  const attacking = plan({
    repositories: { repo1: { at, keepDays: 7 } },
    drills: { attack: { cron: "0 5 1 * *", pick: "attack" } },
  });
  return {
    restoring: checkHost(restoring).map(({ code }) => code),
    attacking: checkHost(attacking).map(findingText).join(),
  };
}

/** The runbook's steps after an attack on repo2. */
export function stepsAfterAttack(host: ReturnType<typeof plan>): string {
  const [, node] = topologyOf(host).repositories;
  return node === undefined ? "" : appliedLines(attacked(node, (verb) => `pgbackstop ${verb}`, [])).join("\n");
}

interface Rendered {
  /** Of the plugin in the Cluster. */
  readonly parameters: Record<string, string> | undefined;
  readonly text: string;
}

/** @throws Error with the errors that the rules find */
export function renderedCluster(at: object): Rendered {
  const orders = {
    namespace: "orders",
    instances: 1,
    storageGiB: 5,
    repositories: { repo1: { at, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * 0" } },
  };
  const runtime = { gzipBase64: "H4sI", sha256: "0123456789abcdef".repeat(4) };
  const { findings, manifests } = renderGitops({ clusters: { orders } }, runtime, true);
  const errors = findings.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(errors.map(findingText).join("\n"));
  const cluster = manifests.find(({ kind }) => kind === "Cluster") as {
    spec?: { plugins?: readonly { parameters?: Record<string, string> }[] };
  };
  return { parameters: cluster.spec?.plugins?.[0]?.parameters, text: JSON.stringify(manifests) };
}
