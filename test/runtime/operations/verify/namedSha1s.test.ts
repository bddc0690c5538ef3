import { expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { NamedSha1s } from "../../../../runtime/operations/verify/namedSha1s";
import { walName } from "../../repository/support";

it("segments, histories and labels of several clusters keep their checksums", () => {
  const sha1s = new NamedSha1s();
  const expected = new Map<string, string>();
  const add = (cluster: string, name: string): void => {
    const sha1 = sha1Hex(`${cluster}/${name}`);
    sha1s.add(cluster, name, sha1);
    expected.set(`${cluster}/${name}`, sha1);
  };
  for (const cluster of ["15-1", "17-2"]) {
    for (let no = 0; no < 2000; no++) add(cluster, walName(no));
    add(cluster, "00000002.history");
    add(cluster, `${walName(1)}.00000028.backup`);
  }
  sha1s.add("15-1", walName(7), sha1Hex("of a copy"));
  expected.set(`15-1/${walName(7)}`, sha1Hex("of a copy"));
  expect([...sha1s.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [key, sha1] of expected) expect(sha1s.get(key)).toBe(sha1);
  for (const unknown of ["15-1/00000003.history", `16-3/${walName(1)}`, `15-1/${walName(2000)}`])
    expect(sha1s.has(unknown)).toBe(false);
});
