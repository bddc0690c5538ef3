/** Ours and stock in a container of Azure Blob Storage: Azurite over TLS. */
import { AzuriteServer } from "../../tools/parts/servers/azuriteServer";
import { cloudStoreSuite } from "./cloudStore.suite";

// claim: docs/azure.md: stock 2.60 reads what ours wrote in a container, and ours what stock wrote
// claim: docs/azure.md: a key of the account is in no command line, log or output
cloudStoreSuite("a repository in a container of Azure", {
  missing: null,
  async start() {
    const azure = await AzuriteServer.create();
    return { repo: { azure, options: { bundle: "y", block: "y" } }, remove: () => azure.remove() };
  },
  backupOptions: [],
});
