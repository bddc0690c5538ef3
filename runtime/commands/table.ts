/** The file that runs each command of `runtime/config/commands.ts`; it is loaded when the command is asked for. */
import type { WorkingCommand } from "../config/commands";
import type { Command } from "./host";

const LOADERS: Readonly<Record<WorkingCommand, () => Promise<Command>>> = {
  agent: async () => (await import("../agent/agent.js")).agentCommand,
  annotate: async () => (await import("./annotate.js")).annotateCommand,
  "archive-get": async () => (await import("./archiveGet.js")).archiveGetCommand,
  "archive-push": async () => (await import("./archivePush.js")).archivePushCommand,
  backup: async () => (await import("./backup.js")).backupCommand,
  check: async () => (await import("./check.js")).checkCommand,
  "cnpg-drill": async () => (await import("../cnpg/drill/drillCommand.js")).clusterDrillCommand,
  "cnpg-expire": async () => (await import("../cnpg/snapshots/expireSnapshots.js")).expireSnapshotsCommand,
  "cnpg-instance": async () => (await import("../cnpg/sidecar/instance.js")).instanceCommand,
  "cnpg-migrate": async () => (await import("../cnpg/migrate/migrateStep.js")).migrationStepCommand,
  "cnpg-operator": async () => (await import("../cnpg/operator/operator.js")).operatorCommand,
  "cnpg-restore": async () => (await import("../cnpg/restore/restoreSidecar.js")).restoreJobCommand,
  doctor: async () => (await import("./doctor.js")).doctorCommand,
  drill: async () => (await import("./drill.js")).drillCommand,
  expire: async () => (await import("./expire.js")).expireCommand,
  "extract-table": async () => (await import("./extractTable.js")).extractTableCommand,
  find: async () => (await import("./find.js")).findCommand,
  heal: async () => (await import("./heal.js")).healCommand,
  info: async () => (await import("./info.js")).infoCommand,
  manifest: async () => (await import("./manifest.js")).manifestCommand,
  metrics: async () => (await import("./metrics.js")).metricsCommand,
  migrate: async () => (await import("./migrate.js")).migrateCommand,
  notify: async () => (await import("./notify.js")).notifyCommand,
  "pg-settings": async () => (await import("./pgSettings.js")).pgSettingsCommand,
  recover: async () => (await import("./recover.js")).recoverCommand,
  "recover-step": async () => (await import("./recoverStep.js")).recoverStepCommand,
  "repo-get": async () => (await import("./repoFiles.js")).repoGetCommand,
  "repo-ls": async () => (await import("./repoFiles.js")).repoLsCommand,
  restore: async () => (await import("./restore.js")).restoreCommand,
  rollback: async () => (await import("./rollback.js")).rollbackCommand,
  "stanza-create": async () => (await import("./stanzaCreate.js")).stanzaCreateCommand,
  "stanza-delete": async () => (await import("./stanzaDelete.js")).stanzaDeleteCommand,
  "stanza-upgrade": async () => (await import("./stanzaUpgrade.js")).stanzaUpgradeCommand,
  start: async () => (await import("./startStop.js")).startCommand,
  status: async () => (await import("./status.js")).statusCommand,
  stop: async () => (await import("./startStop.js")).stopCommand,
  sync: async () => (await import("./sync.js")).syncCommand,
  verify: async () => (await import("./verify.js")).verifyCommand,
};

export function loadCommand(command: WorkingCommand): Promise<Command> {
  return LOADERS[command]();
}
