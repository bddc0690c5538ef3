/** The public names of the package. */
export { Migration } from "./migration";
export {
  type MigrationArgs,
  type MigrationSecretArgs,
  type MigrationServerArgs,
  MigrationSslMode,
  MigrationStage,
  type MigrationUnitsArgs,
  type MigrationWorkloadArgs,
  WorkloadKind,
} from "./migrationArgs";
