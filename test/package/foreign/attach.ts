/** A Cluster as its operator's documentation declares it, with a name that the provider makes, and its backups. */
import { CustomResource } from "@pulumi/kubernetes/apiextensions/customResource";
import { Provider } from "@pulumi/kubernetes/provider";
import * as pulumi from "@pulumi/pulumi";
import { CnpgBackup, S3CompatibleRepository } from "pgbackstop";

export function program(): Record<string, pulumi.Output<unknown>> {
  const provider = new Provider("lab", { context: "lab" });
  const shop = new CustomResource(
    "shop",
    {
      apiVersion: "postgresql.cnpg.io/v1",
      kind: "Cluster",
      metadata: { namespace: "shop" },
      spec: { instances: 1, storage: { size: "10Gi" } },
    },
    { provider },
  );
  const bucket = new S3CompatibleRepository("bucket", {
    endpoint: "s3.example.net",
    region: "us-east-1",
    bucket: { existing: { name: "acme", credentials: { accessKeyId: "id", secretAccessKey: pulumi.secret("key") } } },
  });
  const backup = new CnpgBackup(
    "shop-backup",
    {
      namespace: "shop",
      clusterName: shop.metadata.name,
      instances: 1,
      operatorVersion: "1.30.0",
      repositories: { repo1: { at: bucket.target, keepDays: 14 } },
      schedules: { full: { cron: "0 3 * * *" } },
    },
    { provider },
  );
  return { made: shop.metadata.name, attached: backup.clusterName };
}
