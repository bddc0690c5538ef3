/**
 * Secrets that are files, one per value, as Kubernetes mounts a Secret: `<directory>/repo1/ACCESS_SECRET_KEY`. The directory is named by
 * `PGBACKSTOP_SECRETS`; what lies there counts as if the environment had said it, without being in any environment. Pure.
 */

/** File name by the option that it is for, without `PGBACKREST_REPO1_`. */
const OPTIONS: Readonly<Record<string, string>> = {
  ACCESS_KEY_ID: "S3_KEY",
  ACCESS_SECRET_KEY: "S3_KEY_SECRET",
  ACCESS_SESSION_TOKEN: "S3_TOKEN",
  ENCRYPTION_PASS: "CIPHER_PASS",
};

type Environment = Readonly<Record<string, string | undefined>>;

interface SecretAccess {
  /** Null when the file is missing. */
  readonly readFile: (path: string) => string | null;
  readonly listDirectory: (path: string) => readonly string[];
}

/** What the environment says goes before what a file says. */
export function withSecretFiles(env: Environment, access: SecretAccess): Environment {
  const directory = env["PGBACKSTOP_SECRETS"];
  if (directory === undefined || directory === "") return env;
  const found: Record<string, string> = {};
  for (const repo of access.listDirectory(directory).filter((name) => /^repo\d+$/.test(name))) {
    for (const [file, option] of Object.entries(OPTIONS)) {
      const text = access.readFile(`${directory}/${repo}/${file}`)?.replace(/\r?\n$/, "");
      if (text !== undefined && text !== "") found[`PGBACKREST_${repo.toUpperCase()}_${option}`] = text;
    }
  }
  return { ...found, ...env };
}
