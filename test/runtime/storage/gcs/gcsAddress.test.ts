import { expect, test } from "vitest";
import { gcsAddressOf, type GcsLocation } from "../../../../runtime/storage/gcs/gcsAddress";

const address = (more: Partial<GcsLocation> = {}) =>
  gcsAddressOf({ bucket: "my.back_ups-1", endpoint: "storage.googleapis.com", ...more }, 2);

test("the bucket is in the path of the endpoint, which may have a scheme and a port", () => {
  expect(address()).toEqual({
    origin: "https://storage.googleapis.com:443",
    connection: "storage.googleapis.com:443",
    host: "storage.googleapis.com",
    tlsName: "storage.googleapis.com",
    pathPrefix: "/storage/v1/b/my.back_ups-1",
  });
  expect(address({ endpoint: "127.0.0.1:4443" })).toMatchObject({
    origin: "https://127.0.0.1:4443",
    host: "127.0.0.1:4443",
  });
  expect(address({ endpoint: "http://gcs.lan" })).toMatchObject({ origin: "http://gcs.lan:80", host: "gcs.lan" });
});

test.each([
  [{ bucket: "Backups" }, "'Backups' is not valid for 'repo2-gcs-bucket' option"],
  [{ bucket: "ab" }, "'ab' is not valid for 'repo2-gcs-bucket' option"],
  [{ bucket: "a/../b" }, "'a/../b' is not valid for 'repo2-gcs-bucket' option"],
  [{ endpoint: "e/path" }, "'e/path' is not valid for 'repo2-gcs-endpoint' option"],
  [{ endpoint: "ftp://h" }, "'ftp://h' is not valid for 'repo2-gcs-endpoint' option"],
])("refuses %o", (more, message) => {
  expect(() => address(more)).toThrow(expect.objectContaining({ kind: "optionInvalidValue", message }));
});
