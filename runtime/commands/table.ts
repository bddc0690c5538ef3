/** The file that runs each command of `runtime/config/commands.ts`, loaded on demand. */
import type { WorkingCommand } from "../config/commands";
import type { LoadTroubles } from "../metrics/gather";
import type { ReportFile } from "../operations/report/reportFields";
import type { Command, CommandProcess } from "../process/commandProcess";

/** For processes that serve the page. */
const makeReport = async (proc: CommandProcess): Promise<ReportFile> =>
  (await import("./watch/report.js")).reportDocument(proc);

const loadTroubles: LoadTroubles = async (proc, repos) => (await import("./watch/status.js")).loadTroubles(proc, repos);

const LOADERS: Readonly<Record<WorkingCommand, () => Promise<Command>>> = {
  agent: async () => (await import("../agent/agent.js")).agentCommand({ loadTroubles, report: makeReport }),
  annotate: async () => (await import("./backups/annotate.js")).annotateCommand,
  "archive-get": async () => (await import("./wal/archiveGet.js")).archiveGetCommand,
  "archive-push": async () => (await import("./wal/archivePush.js")).archivePushCommand,
  backup: async () => (await import("./backups/backup.js")).backupCommand,
  check: async () => (await import("./setup/check.js")).checkCommand,
  clone: async () => (await import("./recovery/clone.js")).cloneCommand,
  close: async () => (await import("./recovery/close.js")).closeCommand,
  "cnpg-drill": async () => (await import("../cnpg/drill/drillCommand.js")).clusterDrillCommand,
  "cnpg-dump": async () => (await import("../cnpg/job/dumpCommand.js")).clusterDumpCommand,
  "cnpg-expire": async () => (await import("../cnpg/snapshots/expireSnapshots.js")).expireSnapshotsCommand,
  "cnpg-instance": async () =>
    (await import("../cnpg/sidecar/instance.js")).instanceCommand({ loadTroubles, report: makeReport }),
  "cnpg-job": async () => (await import("../cnpg/job/jobCommand.js")).jobCommand,
  "cnpg-operator": async () => (await import("../cnpg/operator/operator.js")).operatorCommand,
  "cnpg-replace-archiver": async () => (await import("../cnpg/gate/replaceArchiver.js")).replaceArchiverCommand,
  "cnpg-restore": async () => (await import("../cnpg/restore/restoreSidecar.js")).restoreJobCommand,
  diff: async () => (await import("./recovery/diff.js")).diffCommand,
  doctor: async () => (await import("./setup/doctor.js")).doctorCommand,
  drill: async () => (await import("./recovery/drill.js")).drillCommand,
  dump: async () => (await import("./backups/dump.js")).dumpCommand,
  "dump-get": async () => (await import("./backups/dumpFiles.js")).dumpGetCommand,
  "dump-ls": async () => (await import("./backups/dumpFiles.js")).dumpLsCommand,
  expire: async () => (await import("./backups/expire.js")).expireCommand,
  "extract-table": async () => (await import("./recovery/extractTable.js")).extractTableCommand,
  find: async () => (await import("./recovery/find.js")).findCommand,
  heal: async () => (await import("./wal/heal.js")).healCommand,
  hold: async () => (await import("./backups/hold.js")).holdCommand,
  info: async () => (await import("./watch/info.js")).infoCommand,
  manifest: async () => (await import("./backups/manifest.js")).manifestCommand,
  metrics: async () => (await import("./watch/metrics.js")).metricsCommand,
  notify: async () => (await import("./watch/notify.js")).notifyCommand,
  open: async () => (await import("./recovery/open.js")).openCommand,
  "slot-drop": async () => (await import("./setup/slotDrop.js")).slotDropCommand,
  "pg-settings": async () => (await import("./setup/pgSettings.js")).pgSettingsCommand,
  recover: async () => (await import("./recovery/recover.js")).recoverCommand,
  "recover-step": async () => (await import("./recovery/recoverStep.js")).recoverStepCommand,
  report: async () => (await import("./watch/report.js")).reportCommand,
  release: async () => (await import("./backups/hold.js")).releaseCommand,
  "repo-get": async () => (await import("./backups/repoFiles.js")).repoGetCommand,
  "repo-ls": async () => (await import("./backups/repoFiles.js")).repoLsCommand,
  restore: async () => (await import("./recovery/restore.js")).restoreCommand,
  rollback: async () => (await import("./recovery/rollback.js")).rollbackCommand,
  "stanza-create": async () => (await import("./setup/stanzaCreate.js")).stanzaCreateCommand,
  "stanza-delete": async () => (await import("./setup/stanzaDelete.js")).stanzaDeleteCommand,
  "stanza-upgrade": async () => (await import("./setup/stanzaUpgrade.js")).stanzaUpgradeCommand,
  start: async () => (await import("./setup/startStop.js")).startCommand,
  status: async () => (await import("./watch/status.js")).statusCommand,
  stop: async () => (await import("./setup/startStop.js")).stopCommand,
  "synchronous-drop": async () => (await import("./setup/synchronousDrop.js")).synchronousDropCommand,
  sync: async () => (await import("./backups/sync.js")).syncCommand,
  verify: async () => (await import("./backups/verify.js")).verifyCommand,
};

export function loadCommand(command: WorkingCommand): Promise<Command> {
  return LOADERS[command]();
}
