/**
 * Pulumi's cloud packages, which only some repositories need. They are large, so they are optional peers of this
 * package, loaded when a component makes something with them: a bucket and keys that exist need none. Only the required
 * folders are loaded (AWS's index alone takes half a second).
 */
import * as pulumi from "@pulumi/pulumi";
import type { PodIdentityAssociation } from "@pulumi/aws/eks/podIdentityAssociation";
import type { AccessKey } from "@pulumi/aws/iam/accessKey";
import type { Role } from "@pulumi/aws/iam/role";
import type { RolePolicy } from "@pulumi/aws/iam/rolePolicy";
import type { User } from "@pulumi/aws/iam/user";
import type { UserPolicy } from "@pulumi/aws/iam/userPolicy";
import type { Bucket } from "@pulumi/aws/s3/bucket";
import type { BucketLifecycleConfiguration } from "@pulumi/aws/s3/bucketLifecycleConfiguration";
import type { BucketObjectLockConfiguration } from "@pulumi/aws/s3/bucketObjectLockConfiguration";
import type { BucketPolicy } from "@pulumi/aws/s3/bucketPolicy";
import type { BucketPublicAccessBlock } from "@pulumi/aws/s3/bucketPublicAccessBlock";
import type { BucketServerSideEncryptionConfiguration } from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration";
import type { BucketVersioning } from "@pulumi/aws/s3/bucketVersioning";
import type { AccountToken } from "@pulumi/cloudflare/accountToken";
import type { getAccountApiTokenPermissionGroupsList } from "@pulumi/cloudflare/getAccountApiTokenPermissionGroupsList";
import type { R2Bucket } from "@pulumi/cloudflare/r2bucket";
import type { R2BucketLifecycle } from "@pulumi/cloudflare/r2bucketLifecycle";

/** The required part of `@pulumi/aws`. */
export interface Aws {
  readonly s3: {
    readonly Bucket: typeof Bucket;
    readonly BucketVersioning: typeof BucketVersioning;
    readonly BucketPublicAccessBlock: typeof BucketPublicAccessBlock;
    readonly BucketServerSideEncryptionConfiguration: typeof BucketServerSideEncryptionConfiguration;
    readonly BucketLifecycleConfiguration: typeof BucketLifecycleConfiguration;
    readonly BucketObjectLockConfiguration: typeof BucketObjectLockConfiguration;
    readonly BucketPolicy: typeof BucketPolicy;
  };
  readonly iam: {
    readonly User: typeof User;
    readonly UserPolicy: typeof UserPolicy;
    readonly AccessKey: typeof AccessKey;
    readonly Role: typeof Role;
    readonly RolePolicy: typeof RolePolicy;
  };
  readonly eks: { readonly PodIdentityAssociation: typeof PodIdentityAssociation };
}

/** The required part of `@pulumi/cloudflare`. */
export interface Cloudflare {
  readonly R2Bucket: typeof R2Bucket;
  readonly R2BucketLifecycle: typeof R2BucketLifecycle;
  readonly AccountToken: typeof AccountToken;
  readonly getAccountApiTokenPermissionGroupsList: typeof getAccountApiTokenPermissionGroupsList;
}

/** @throws RunError naming the package to install */
export function loadAws(component: string): Aws {
  return loadPackage(component, "@pulumi/aws", "7", () => ({
    s3: require("@pulumi/aws/s3") as Aws["s3"],
    iam: require("@pulumi/aws/iam") as Aws["iam"],
    eks: require("@pulumi/aws/eks") as Aws["eks"],
  }));
}

/** @throws RunError naming the package to install */
export function loadCloudflare(component: string): Cloudflare {
  return loadPackage(component, "@pulumi/cloudflare", "6", () => require("@pulumi/cloudflare") as Cloudflare);
}

/** @throws RunError naming the package to install */
export function loadPackage<T>(component: string, packageName: string, major: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // If an installed package lacks a dependency, its own error says so.
    if (!isMissing(error, packageName)) throw error;
    throw new pulumi.RunError(
      `${component} needs the package ${packageName}, which is not installed: npm install ${packageName}@^${major}`,
    );
  }
}

function isMissing(error: unknown, packageName: string): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "MODULE_NOT_FOUND" &&
    error.message.includes(`'${packageName}`)
  );
}
