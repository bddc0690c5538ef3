/** Volumes that a container of the program needs for the plugin's parameters. Pure. */
import { basename } from "node:path";
import type { JsonObject } from "../kubernetes/clusterObject";
import { PATHS, REPORT_PASSWORD_FILE } from "../names";
import type { PluginParameters, RepoSecret } from "./parameters";

/** A volume and its path in the container. */
export interface MountedVolume {
  readonly volume: JsonObject;
  readonly mount: JsonObject;
}

export function mounted(name: string, volume: JsonObject, mountPath: string, readOnly = true): MountedVolume {
  return { volume: { name, ...volume }, mount: { name, mountPath, ...(readOnly ? { readOnly } : {}) } };
}

/** For the program itself: what it is unpacked into, and a ConfigMap that has it. */
export function ownVolumes(bundle: string | undefined): MountedVolume[] {
  const run = mounted("pgbackstop-run", { emptyDir: {} }, PATHS.run, false);
  return bundle === undefined
    ? [run]
    : [run, mounted("pgbackstop-bundle", { configMap: { name: bundle } }, PATHS.bundle)];
}

interface FilePaths {
  readonly config: string;
  readonly include: string;
  readonly secrets: string;
}

/** Configuration and keys of one set of repositories. */
export function filesOf(
  prefix: string,
  parameters: PluginParameters,
  paths: FilePaths,
  isOptional: boolean,
): MountedVolume[] {
  const { configMap, secretConf, secrets } = parameters;
  return [
    mounted(`${prefix}-config`, { configMap: { name: configMap } }, paths.config),
    ...secrets.map((secret) =>
      mounted(`${prefix}-${secret.repo}`, secretVolume(secret, isOptional), `${paths.secrets}/${secret.repo}`),
    ),
    ...(secretConf === undefined
      ? []
      : [mounted(`${prefix}-conf`, { secret: { secretName: secretConf } }, paths.include)]),
  ];
}

/** The database starts without it: the sidecar serves the page when the Secret comes. */
export function reportVolumes({ reportPassword }: PluginParameters): MountedVolume[] {
  if (reportPassword === undefined) return [];
  const items = [{ key: reportPassword.key, path: basename(REPORT_PASSWORD_FILE) }];
  const secret = { secretName: reportPassword.name, items, optional: true };
  return [mounted("pgbackstop-report", { secret }, PATHS.report)];
}

export function claimVolume(claim: string, index: number): MountedVolume {
  return mounted(
    `pgbackstop-claim-${index}`,
    { persistentVolumeClaim: { claimName: claim } },
    `${PATHS.claims}/${claim}`,
    false,
  );
}

/**
 * Puts keys of several Secrets into one directory. Alongside an instance a missing key is that repository's error: the
 * sidecar reports it, and the database starts. A recovery cannot start without it and waits.
 */
function secretVolume(secret: RepoSecret, isOptional: boolean): JsonObject {
  const optional = isOptional ? { optional: true } : {};
  if (secret.files === undefined) return { secret: { secretName: secret.name, ...optional } };
  const names = [...new Set(secret.files.map((file) => file.name))].sort();
  const sources = names.map((each) => ({
    secret: {
      name: each,
      items: secret.files.filter((file) => file.name === each).map(({ file, key }) => ({ key, path: file })),
      ...optional,
    },
  }));
  return { projected: { sources } };
}
