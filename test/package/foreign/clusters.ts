/**
 * A database in each of two Kubernetes clusters, with a provider for each, and a company's rules as transforms: a label
 * on every object, and a priority for every database.
 */
import { Provider } from "@pulumi/kubernetes/provider";
import * as pulumi from "@pulumi/pulumi";
import { CnpgCluster, type CnpgClusterArgs, S3CompatibleRepository } from "pgbackstop";

type Values = Record<string, unknown>;

/** Reaches the children of the component that it is given to. */
const labelled: pulumi.ResourceTransform = ({ opts, props, type }) => {
  if (!type.startsWith("kubernetes:")) return undefined;
  const { metadata } = props as { metadata: pulumi.Input<{ labels?: Values }> };
  const withOwner = pulumi
    .output(metadata)
    .apply((data) => ({ ...data, labels: { ...data.labels, owner: "platform" } }));
  return { opts, props: { ...props, metadata: withOwner } };
};

const important: pulumi.ResourceTransform = ({ opts, props, type }) =>
  type.endsWith(":Cluster")
    ? {
        opts,
        props: {
          ...props,
          spec: pulumi
            .output(props["spec"] as pulumi.Input<Values>)
            .apply((spec) => ({ ...spec, priorityClassName: "databases" })),
        },
      }
    : undefined;

export function program(): Record<string, pulumi.Output<unknown>> {
  const [east, west] = [new Provider("east", { context: "east" }), new Provider("west", { context: "west" })];
  const bucket = new S3CompatibleRepository("bucket", {
    endpoint: "s3.example.net",
    region: "us-east-1",
    bucket: { existing: { name: "acme", credentials: { accessKeyId: "id", secretAccessKey: pulumi.secret("key") } } },
  });
  const args: CnpgClusterArgs = {
    namespace: "databases",
    storageGiB: 10,
    repositories: { repo1: { at: bucket.target, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * *" } },
    monitoring: {},
    poolers: { pooler: {} },
    drills: { weekly: { cron: "0 5 * * 6" } },
  };
  const orders = new CnpgCluster("orders", args, { provider: east, transforms: [labelled, important], protect: false });
  const ledger = new CnpgCluster("ledger", args, { providers: { kubernetes: west }, protect: false });
  return { orders: orders.writeHost, ledger: ledger.writeHost };
}
