import { describe, expect, test } from "vitest";
import {
  parseDeleteResult,
  parseListPage,
  parseUploadId,
  parseVersioning,
  parseVersionPage,
} from "../../../../runtime/storage/s3/answer";

const setting = {
  repoIndex: 2,
  type: "s3" as const,
  bucket: "b",
  endpoint: "e",
  connection: "e:443",
  doing: "list 's3://b'",
};
const WHOLE = "<IsTruncated>false</IsTruncated>";
const list = (inner: string, prefix = "") =>
  parseListPage(
    `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inner}</ListBucketResult>`,
    prefix,
    setting,
  );
const contents = (key: string) =>
  `<Contents><Key>${key}</Key><LastModified>2026-11-20T06:40:59.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size></Contents>`;

test("a page has objects, prefixes and the token of the next page", () => {
  const page = list(
    `<Prefix>p/</Prefix>${contents("p/a&amp;b")}<CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes><IsTruncated>true</IsTruncated><NextContinuationToken>t+=</NextContinuationToken>`,
  );
  expect(page).toEqual({
    objects: [{ key: "p/a&b", sizeBytes: 7, modifiedAtMs: Date.UTC(2026, 10, 20, 6, 40, 59) }],
    folders: ["p/d/"],
    next: { "continuation-token": "t+=" },
  });
  expect(list(WHOLE)).toEqual({ objects: [], folders: [], next: null });
});

test("without a token the next page starts after the greatest name, and after all of a prefix", () => {
  expect(list(`${contents("a")}${contents("b")}<IsTruncated>true</IsTruncated>`).next).toEqual({ "start-after": "b" });
  const prefix = "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>";
  expect(list(`${contents("a")}${contents("b")}${prefix}<IsTruncated>true</IsTruncated>`).next).toEqual({
    "start-after": "c/\u{10FFFF}",
  });
  // Consoles make objects that are named like directories, before what lies in them.
  expect(list(`${contents("p/x/")}<IsTruncated>true</IsTruncated>`).next).toEqual({ "start-after": "p/x/" });
});

test("any other answer is an error of the service", () => {
  const thrown = expect.objectContaining({ kind: "service", repoIndex: 2 });
  expect(() => parseListPage("<html></html>", "", setting)).toThrow("unable to list 's3://b': the answer is 'html'");
  expect(() => parseListPage("nothing", "", setting)).toThrow(thrown);
  expect(() => parseListPage("<Error><Code>SlowDown</Code></Error>", "", setting)).toThrow(
    expect.objectContaining({ retryable: true, message: "unable to list 's3://b': [200] SlowDown" }),
  );
  expect(() => list("<Contents><Key>a</Key><Size>x</Size><LastModified>y</LastModified></Contents>")).toThrow(
    "unable to list 's3://b': the listing has an object without a valid size or time",
  );
  expect(() => list("<Contents><Size>1</Size></Contents>")).toThrow(
    "unable to list 's3://b': 'Contents' without 'LastModified'",
  );
});

test("a listing says whether it is complete, and has only names with the prefix", () => {
  expect(() => list(contents("a"))).toThrow("'ListBucketResult' without 'IsTruncated'");
  expect(() => list("<IsTruncated>maybe</IsTruncated>")).toThrow("'maybe' is no value of 'IsTruncated'");
  expect(() => list("<IsTruncated>true</IsTruncated>")).toThrow(
    "unable to list 's3://b': the listing is incomplete, without names or a token",
  );
  expect(list(`${contents("p/a")}${WHOLE}`, "p/").objects).toHaveLength(1);
  for (const inner of [contents("q/a"), "<CommonPrefixes><Prefix>q/</Prefix></CommonPrefixes>"])
    expect(() => list(`${inner}${WHOLE}`, "p/")).toThrow(/the listing has 'q\/a?', which does not begin with 'p\/'/);
});

test("a batch deletion names what is removed and what stayed; an empty error does not count", () => {
  const error = (key: string) => `<Error><Key>${key}</Key><Code>AccessDenied</Code><Message>no\n way</Message></Error>`;
  const deleted = "<Deleted><Key>b</Key></Deleted>";
  expect(
    parseDeleteResult(`<DeleteResult>${error("a&lt;b")}<Error></Error>${deleted}<Error/></DeleteResult>`, setting),
  ).toEqual({ deleted: ["b"], refused: ["a<b"] });
  expect(parseDeleteResult("<DeleteResult/>", setting)).toEqual({ deleted: [], refused: [] });
  expect(() => parseDeleteResult("<Error><Code>x</Code></Error>", setting)).toThrow("[200] x");
});

test("an upload has an id", () => {
  const begun = (inner: string) =>
    parseUploadId(`<InitiateMultipartUploadResult>${inner}</InitiateMultipartUploadResult>`, setting);
  expect(begun("<UploadId>u/1</UploadId>")).toBe("u/1");
  expect(() => begun("<UploadId></UploadId>")).toThrow("'InitiateMultipartUploadResult' without 'UploadId'");
});

describe("a page of versions", () => {
  const state = (name: "Version" | "DeleteMarker", key: string, id: string, seconds: number, more = ""): string =>
    `<${name}><Key>${key}</Key><VersionId>${id}</VersionId><IsLatest>${more.includes("latest")}</IsLatest><LastModified>2026-11-20T06:40:${String(seconds).padStart(2, "0")}.5Z</LastModified>${name === "Version" ? "<Size>7</Size>" : ""}</${name}>`;
  const page = (inner: string) => {
    const whole = inner.includes("IsTruncated") ? inner : `${inner}${WHOLE}`;
    return parseVersionPage(`<ListVersionsResult>${whole}</ListVersionsResult>`, "", setting);
  };
  const idsOf = (inner: string) => page(inner).versions.map(({ versionId }) => versionId);

  test("has versions, delete markers, prefixes and the next page", () => {
    expect(
      page(
        `${state("DeleteMarker", "a&amp;b", "2", 9, "latest")}${state("Version", "a&amp;b", "1", 8)}<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes><IsTruncated>true</IsTruncated><NextKeyMarker>d/</NextKeyMarker><NextVersionIdMarker></NextVersionIdMarker>`,
      ),
    ).toEqual({
      versions: [
        {
          key: "a&b",
          versionId: "2",
          isDeleted: true,
          isLatest: true,
          sizeBytes: 0,
          modifiedAtMs: Date.UTC(2026, 10, 20, 6, 40, 9, 500),
        },
        {
          key: "a&b",
          versionId: "1",
          isDeleted: false,
          isLatest: false,
          sizeBytes: 7,
          modifiedAtMs: Date.UTC(2026, 10, 20, 6, 40, 8, 500),
        },
      ],
      folders: ["d/"],
      next: { "key-marker": "d/" },
    });
    expect(
      page(
        "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>",
      ).next,
    ).toEqual({ "key-marker": "k", "version-id-marker": "v" });
    expect(page("").next).toBeNull();
  });

  test("Amazon's order decides between states of one second", () => {
    expect(
      idsOf(`${state("DeleteMarker", "a", "2", 8)}${state("Version", "a", "1", 8)}${state("Version", "b", "3", 1)}`),
    ).toEqual(["2", "1", "3"]);
    expect(
      idsOf(`${state("Version", "a", "2", 8)}${state("DeleteMarker", "a", "1", 8)}${state("Version", "b", "3", 1)}`),
    ).toEqual(["2", "1", "3"]);
  });

  test("where all markers precede all versions the newest comes first, and of one second the one that exists", () => {
    expect(
      idsOf(
        `${state("DeleteMarker", "a", "a4", 8)}${state("DeleteMarker", "a", "a2", 4)}${state("DeleteMarker", "b", "b2", 5)}${state("Version", "a", "a5", 9)}${state("Version", "a", "a3", 6)}${state("Version", "a", "a1", 1)}${state("Version", "b", "b1", 5)}`,
      ),
    ).toEqual(["a5", "a4", "a3", "a2", "a1", "b1", "b2"]);
    // A single key.
    expect(idsOf(`${state("DeleteMarker", "a", "2", 5)}${state("Version", "a", "3", 9)}`)).toEqual(["3", "2"]);
    expect(
      idsOf(
        `${state("DeleteMarker", "b", "2", 5, "latest")}${state("Version", "a", "3", 9)}${state("Version", "b", "1", 5)}`,
      ),
    ).toEqual(["3", "2", "1"]);
  });

  test("versitygw's times of old versions are those of their replacement: its ids have the right ones", () => {
    const [written] = page(state("Version", "a", "01M81N2P2N8SG200H1FZXV97RT", 59)).versions;
    expect(new Date(written?.modifiedAtMs ?? 0).toISOString()).toBe("2026-11-22T12:53:12.405Z");
    // Amazon's ids are longer; one that only looks like it has an impossible time.
    expect(page(state("Version", "a", "7ZZZZZZZZZ8SG200H1FZXV97RT", 59)).versions[0]?.modifiedAtMs).toBe(
      Date.UTC(2026, 10, 20, 6, 40, 59, 500),
    );
  });

  test("any other answer is an error of the service", () => {
    expect(() => parseVersionPage("<ListBucketResult/>", "", setting)).toThrow("the answer is 'ListBucketResult'");
    expect(() => page("<IsTruncated>true</IsTruncated>")).toThrow("'ListVersionsResult' without 'NextKeyMarker'");
    expect(() => page("<Version><Key>a</Key></Version>")).toThrow("'Version' without 'Size'");
  });
});

test("a bucket keeps versions if it keeps them now, or did before", () => {
  const status = (text: string) =>
    parseVersioning(`<VersioningConfiguration>${text}</VersioningConfiguration>`, setting);
  expect(["<Status>Enabled</Status>", "<Status>Suspended</Status>", ""].map(status)).toEqual([true, true, false]);
  expect(() => parseVersioning("<Error/>", setting)).toThrow("[200]");
});
