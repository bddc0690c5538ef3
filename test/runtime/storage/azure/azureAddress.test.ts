import { expect, test } from "vitest";
import { azureAddressOf, type AzureLocation } from "../../../../runtime/storage/azure/azureAddress";

const address = (more: Partial<AzureLocation> = {}) =>
  azureAddressOf(
    {
      account: "account",
      container: "backups",
      endpoint: "blob.core.windows.net",
      uriStyle: "host",
      storagePort: 443,
      ...more,
    },
    2,
  );

test("the account is in the host's name, or in the path", () => {
  expect(address()).toEqual({
    origin: "https://account.blob.core.windows.net:443",
    connection: "account.blob.core.windows.net:443",
    host: "account.blob.core.windows.net",
    tlsName: "account.blob.core.windows.net",
    pathPrefix: "/backups",
  });
  expect(address({ uriStyle: "path", endpoint: "127.0.0.1", storagePort: 10_000 })).toEqual({
    origin: "https://127.0.0.1:10000",
    connection: "127.0.0.1:10000",
    host: "127.0.0.1:10000",
    pathPrefix: "/account/backups",
  });
});

test("a storage host takes the endpoint's place, and the port of the option that of either", () => {
  const at = (more: Partial<AzureLocation>) => address({ uriStyle: "path", ...more }).origin;
  expect(at({ storageHost: "azurite.lan" })).toBe("https://azurite.lan:443");
  expect(at({ storageHost: "http://azurite.lan:10000" })).toBe("http://azurite.lan:10000");
  expect(at({ storageHost: "http://azurite.lan:10000", storagePort: 10_001 })).toBe("http://azurite.lan:10001");
  expect(at({ endpoint: "http://azurite.lan" })).toBe("http://azurite.lan:80");
});

test.each([
  [{ container: "Backups" }, "'Backups' is not valid for 'repo2-azure-container' option"],
  [{ container: "a--b" }, "'a--b' is not valid for 'repo2-azure-container' option"],
  [{ container: "ab" }, "'ab' is not valid for 'repo2-azure-container' option"],
  [{ account: "a.b.c" }, "'a.b.c' is not valid for 'repo2-azure-account' option"],
  [{ endpoint: "e/path" }, "'e/path' is not valid for 'repo2-azure-endpoint' option"],
  // A pasted address with a signature.
  [{ endpoint: "e/?sig=secret" }, "'(an address with credentials)' is not valid for 'repo2-azure-endpoint' option"],
  [{ storageHost: "ftp://h" }, "'ftp://h' is not valid for 'repo2-storage-host' option"],
])("refuses %o", (more, message) => {
  expect(() => address(more)).toThrow(expect.objectContaining({ kind: "optionInvalidValue", message }));
});
