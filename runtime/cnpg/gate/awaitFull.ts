/**
 * `cnpg-await-full`: waits in a Job until every repository of a cluster has a full backup, and records in the Job what
 * each repository holds. An update waits for the Job: its own machine may reach neither the repositories nor the pods.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import type { Command } from "../../commands/host";
import { renderJson } from "../../format/repository/json";
import type { AcknowledgePolicy } from "../../operations/archivePush/acknowledge";
import {
  type Destination,
  destinationLine,
  destinationsJson,
  listDestinations,
} from "../../operations/info/destinations";
import { policyError } from "../../operations/shared/results";
import type { Repository } from "../../repository/repository";
import { type Collection, type KubernetesApi, openKubernetes } from "../kubernetes/kubernetesApi";
import { DESTINATIONS_ANNOTATION } from "../names";

const JOBS: Collection = { api: "batch/v1", plural: "jobs" };
const LOOK_MS = 10_000;
const MINUTE_MS = 60_000;

export const awaitFullCommand: Command = async (host) => {
  const { config, ctx } = host;
  const { job, minutes } = config.awaitFull;
  if (job === undefined) throw fail("optionRequired", "cnpg-await-full command requires option: await-job");
  const api = await openKubernetes(config.kubernetes, ctx.signal);
  const acknowledge = config.settings.acknowledge;
  await awaitFull({ api, job, stanza: config.stanza ?? "", repos: host.repositories(), minutes, acknowledge }, ctx);
  return 0;
};

export interface AwaitedFull {
  readonly api: Pick<KubernetesApi, "patch">;
  /** Name of the Job that records the result. */
  readonly job: string;
  readonly stanza: string;
  readonly repos: readonly Repository[];
  /** 0 looks once. */
  readonly minutes: number;
  readonly acknowledge: AcknowledgePolicy;
}

/** @throws backupSetInvalid naming each repository without a full backup; the policy's error about unreadable ones */
export async function awaitFull(awaited: AwaitedFull, ctx: Context): Promise<void> {
  const endMs = ctx.clock.monotonicMs() + awaited.minutes * MINUTE_MS;
  let shown = "";
  for (;;) {
    const results = await listDestinations(awaited.repos);
    const error = errorOf(results, awaited);
    const lines = results.map(destinationLine);
    if (lines.join("\n") !== shown) for (const line of lines) ctx.log.info(line);
    shown = lines.join("\n");
    if (error === null || ctx.clock.monotonicMs() >= endMs) {
      await record(awaited, results);
      if (error !== null) throw error;
      return;
    }
    await ctx.clock.sleep(LOOK_MS, ctx.signal);
  }
}

/** No policy excuses a repository without a full backup, because it restores nothing. */
function errorOf(
  results: readonly RepoResult<Destination>[],
  { acknowledge, minutes }: AwaitedFull,
): BackupError | null {
  const lacking = results.flatMap((result) =>
    result.ok && result.value.newestFull === null ? [`repo${result.repoIndex}`] : [],
  );
  if (lacking.length === 0) return policyError("cnpg-await-full", results, acknowledge);
  const verb = lacking.length === 1 ? "has" : "have";
  const time = minutes === 0 ? "" : ` after ${minutes} ${minutes === 1 ? "minute" : "minutes"}`;
  return fail(
    "backupSetInvalid",
    `${lacking.join(" and ")} ${verb} no full backup${time}: nothing can be restored from there`,
    {
      hint: [
        "The log of container plugin-pgbackstop in the cluster's pods says why.",
        "Run the update again to wait again, with a larger firstBackupTimeoutMinutes if the backup is still running.",
      ],
    },
  );
}

async function record({ api, job, stanza }: AwaitedFull, results: readonly RepoResult<Destination>[]): Promise<void> {
  const text = renderJson([destinationsJson(stanza, results)]);
  await api.patch(JOBS, job, { metadata: { annotations: { [DESTINATIONS_ANNOTATION]: text } } });
}
