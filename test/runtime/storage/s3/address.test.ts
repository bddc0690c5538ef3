import { expect, test } from "vitest";
import { addressOf, type S3Location } from "../../../../runtime/storage/s3/address";

const at = (more: Partial<S3Location>) =>
  addressOf({ endpoint: "s3.example.com", bucket: "bkt", uriStyle: "path", storagePort: 443, ...more }, 2);

test.each<[string, Partial<S3Location>, object]>([
  [
    "path style",
    {},
    { origin: "https://s3.example.com:443", host: "s3.example.com", tlsName: "s3.example.com", pathPrefix: "/bkt" },
  ],
  [
    "host style",
    { uriStyle: "host" },
    {
      origin: "https://bkt.s3.example.com:443",
      host: "bkt.s3.example.com",
      tlsName: "bkt.s3.example.com",
      pathPrefix: "",
    },
  ],
  ["a port of its own", { storagePort: 9000 }, { origin: "https://s3.example.com:9000", host: "s3.example.com:9000" }],
  [
    "a port in the endpoint",
    { endpoint: "https://s3.example.com:9000", storagePort: 443 },
    { origin: "https://s3.example.com:9000", host: "s3.example.com:9000" },
  ],
  ["plain http", { endpoint: "http://s3.example.com" }, { origin: "http://s3.example.com:80", host: "s3.example.com" }],
  [
    "another address",
    { uriStyle: "host", storageHost: "10.0.0.7", storagePort: 7443 },
    { origin: "https://10.0.0.7:7443", connection: "10.0.0.7:7443", host: "bkt.s3.example.com", pathPrefix: "" },
  ],
  [
    "another address by name",
    { storageHost: "proxy.lan" },
    { origin: "https://proxy.lan:443", host: "s3.example.com", tlsName: "proxy.lan" },
  ],
  [
    "another address in plain text",
    { storageHost: "http://proxy.lan:8080" },
    { origin: "http://proxy.lan:8080", host: "s3.example.com" },
  ],
  ["an IPv6 address", { endpoint: "[::1]:9000" }, { origin: "https://[::1]:9000", host: "[::1]:9000" }],
])("%s", (_, location, expected) => {
  expect(at(location)).toMatchObject(expected);
});

test("an IP address has no TLS server name", () => {
  expect(at({ storageHost: "10.0.0.7" }).tlsName).toBeUndefined();
  expect(at({ endpoint: "[::1]:9000" }).tlsName).toBeUndefined();
});

test.each([
  [
    { endpoint: "https://s3.example.com/path" },
    "'https://s3.example.com/path' is not valid for 'repo2-s3-endpoint' option",
  ],
  [{ endpoint: "ftp://s3.example.com" }, "'ftp://s3.example.com' is not valid for 'repo2-s3-endpoint' option"],
  [{ endpoint: "" }, "'' is not valid for 'repo2-s3-endpoint' option"],
  [
    { endpoint: "https://user:secret@s3.example.com" },
    "'(an address with credentials)' is not valid for 'repo2-s3-endpoint' option",
  ],
  [{ storageHost: "a b" }, "'a b' is not valid for 'repo2-storage-host' option"],
  [{ bucket: "a/b" }, "'a/b' is not valid for 'repo2-s3-bucket' option"],
])("refuses %j", (location, message) => {
  expect(() => at(location)).toThrow(expect.objectContaining({ kind: "optionInvalidValue", message }));
});
