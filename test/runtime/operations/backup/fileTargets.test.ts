import { describe, expect, it } from "vitest";
import { PageChecker } from "../../../../runtime/format/page/pageChecksum";
import { BundleWriter } from "../../../../runtime/operations/backup/bundleWriter";
import { groupTargets, OpenTarget, type TargetGroup } from "../../../../runtime/operations/backup/fileTargets";
import { testContext } from "../../../harness/context";
import { repository } from "../../repository/support";
import { BlockChain } from "./blockChain";
import { pages } from "./support";

const PAGE = 8192;
const COMPRESS = { type: "lz4", level: 1 } as const;

/** The group of one repository whose prior backup holds `prior` in blocks. */
async function groupAfter(
  prior: Uint8Array,
  { pagesValid = true, checksumSizeBytes = 6, hasMap = true } = {},
): Promise<TargetGroup> {
  const sizes = { blockSizeBytes: 2 * PAGE, checksumSizeBytes, superBlockSizeBytes: 8 * PAGE };
  const chain = new BlockChain({ ...sizes, compress: COMPRESS, cipherPass: null, bundleId: 0, offsetBytes: 0 });
  const stored = await chain.backup(prior);
  const source = { source: chain.source(), sizeBytes: prior.length, sha1: "", pagesValid };
  const target = {
    repoIndex: 1,
    path: "next",
    compress: COMPRESS,
    cipherPass: null,
    bundleId: null,
    raw: false,
    block: { ...sizes, reference: 1, prior: source },
  };
  const writer = new BundleWriter(repository(1), target.path);
  const open = new OpenTarget(target, writer, hasMap ? (stored?.map ?? null) : null);
  const [group] = await groupTargets([open], testContext());
  if (group === undefined) throw new Error("no group");
  return group;
}

const checker = (pageSizeBytes = PAGE): PageChecker =>
  new PageChecker({ segmentNo: 0, pageSizeBytes, headerCheck: true });

describe("the pages of a file in blocks", () => {
  it("are checked in changed blocks only, after a prior copy whose pages are good", async () => {
    const before = pages(20);
    // Bad already, although the prior backup's row says otherwise: this shows what is not checked.
    before.fill(1, 4 * PAGE + 200, 4 * PAGE + 300);
    const group = await groupAfter(before);
    const after = Buffer.from(before);
    after.fill(2, 13 * PAGE + 200, 13 * PAGE + 300);
    const seen = checker();
    expect(group.checkPages(seen, PAGE)).toBe(true);
    for (let begin = 0; begin < after.length; begin += 5 * PAGE)
      await group.write(after.subarray(begin, begin + 5 * PAGE));
    await group.finish();
    expect(seen.suspects().map(({ blockNo, offsetBytes }) => [blockNo, offsetBytes])).toEqual([[13, 13 * PAGE]]);
    expect(seen.finish()).toEqual({ valid: false, errors: [13] });
  });

  it.each([
    ["the prior copy has bad pages, or was not checked", { pagesValid: false }, PAGE],
    ["the prior map cannot be read", { hasMap: false }, PAGE],
    ["its checksums are short", { checksumSizeBytes: 5 }, PAGE],
    ["a page is larger than a block", {}, 4 * PAGE],
  ])("are all checked when %s", async (_when, options, pageSizeBytes) => {
    const group = await groupAfter(pages(20), options);
    expect(group.checkPages(checker(pageSizeBytes), pageSizeBytes)).toBe(false);
  });
});
