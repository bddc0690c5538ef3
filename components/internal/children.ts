/** Names and types of components and their children. Released ones never change without an alias. */
import { createHash } from "node:crypto";

const DIGEST_DIGITS = 8;

/** `pgbackstop:index:PostgresHost`. */
export function typeToken(className: string): string {
  return `pgbackstop:index:${className}`;
}

/** The main child has its component's name, every other one the name and a role. */
export const CHILD_ROLES = {
  passphrase: "passphrase",
  cipher: "key",
  host: "host",
  bucket: "bucket",
  resourceGroup: "resource-group",
  account: "account",
  blobService: "blob-service",
  container: "container",
  writerRole: "writer-role",
  readerRole: "reader-role",
  writerSettingsRole: "writer-settings-role",
  readerSettingsRole: "reader-settings-role",
  writerAccount: "writer-account",
  readerAccount: "reader-account",
  writerKey: "writer-key",
  readerKey: "reader-key",
  recoveryKey: "recovery-key",
  versioning: "versioning",
  publicAccess: "public-access",
  encryption: "encryption",
  lifecycle: "lifecycle",
  lock: "lock",
  tlsOnly: "tls-only",
  writerUser: "writer-user",
  readerUser: "reader-user",
  recoveryUser: "recovery-user",
  writerPolicy: "writer-policy",
  readerPolicy: "reader-policy",
  recoveryPolicy: "recovery-policy",
  role: "role",
  podIdentity: "pod-identity",
  writerToken: "writer-token",
  secret: "secret",
  command: "command",
  readerToken: "reader-token",
  runtime: "runtime",
  runtimeRecord: "runtime-record",
  serverCertificate: "server-certificate",
  clientCertificate: "client-certificate",
  serverSecret: "server-tls",
  clientSecret: "client-tls",
  guard: "guard",
  rules: "rules",
  dashboard: "dashboard",
  content: "content",
  clone: "clone",
} as const;

/** `orders-key-passphrase`. */
export function childName(name: string, role: keyof typeof CHILD_ROLES): string {
  return `${name}-${CHILD_ROLES[role]}`;
}

/** The child of a rendered object, by its role there: `orders-schedule-full`. */
export function renderedName(name: string, role: string): string {
  return `${name}-${role}`;
}

/** An object that is replaced with its triggers: `orders-before-v2-backup-1f2e3d4c`. */
export function triggeredName(beginning: string, triggers: readonly string[]): string {
  if (triggers.length === 0) return beginning;
  return `${beginning}-${createHash("sha256").update(JSON.stringify(triggers)).digest("hex").slice(0, DIGEST_DIGITS)}`;
}
