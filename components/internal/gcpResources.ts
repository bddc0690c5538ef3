/** Resources of `@pulumi/gcp`: packagedResources.ts. */
import type * as pulumi from "@pulumi/pulumi";
import type { GcsRule } from "../plan/storage/gcs";
import { packagedResources } from "./packagedResources";

type Text = pulumi.Input<string>;

/** Inputs by type token: "Google Cloud (GCP) Classic", API docs. */
interface GcpInputs {
  readonly "gcp:storage/bucket:Bucket": {
    readonly name: Text;
    readonly location: Text;
    readonly project?: Text;
    readonly uniformBucketLevelAccess: boolean;
    readonly publicAccessPrevention: "enforced";
    readonly versioning: { readonly enabled: boolean };
    readonly softDeletePolicy: { readonly retentionDurationSeconds: pulumi.Input<number> };
    readonly lifecycleRules: pulumi.Input<readonly GcsRule[]>;
    readonly forceDestroy: pulumi.Input<boolean>;
  };
  readonly "gcp:storage/bucketIAMMember:BucketIAMMember": {
    readonly bucket: Text;
    readonly role: string;
    readonly member: Text;
  };
  readonly "gcp:serviceaccount/account:Account": {
    readonly accountId: Text;
    readonly displayName: Text;
    readonly project?: Text;
  };
  readonly "gcp:serviceaccount/key:Key": { readonly serviceAccountId: Text };
}

/** Tokens and inputs are those of version 9. */
const GCP = packagedResources<GcpInputs>("@pulumi/gcp", "9.37.0");

export const declareGcp = GCP.declare;
