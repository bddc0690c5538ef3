/**
 * Ours and stock in a bucket of Google Cloud Storage: fake-gcs-server over TLS.
 *
 * Stock cannot upload in parts to this server: the configuration has parts larger than any file, and ours gets usual
 * ones on its command line.
 */
import { findFakeGcs, GcsServer } from "../../tools/parts/servers/gcsServer";
import { cloudStoreSuite } from "./cloudStore.suite";

// claim: docs/gcs.md: stock 2.60 reads what ours wrote in a bucket, and ours what stock wrote
// claim: docs/gcs.md: No command takes it on its command line, and no log or message repeats it
cloudStoreSuite("a repository in a bucket of Google", {
  missing: findFakeGcs() === null ? "fake-gcs-server is not built: npm test -- --all builds it" : null,
  async start() {
    const gcs = await GcsServer.create();
    const options = { bundle: "y", block: "y", "storage-upload-chunk-size": "64MiB" };
    return { repo: { gcs, options }, remove: () => gcs.remove() };
  },
  backupOptions: ["--repo1-storage-upload-chunk-size=4MiB"],
});
