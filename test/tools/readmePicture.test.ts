/** docs/how-it-works.svg is what its script draws. */
import { expect, test } from "vitest";
import { readmePicture } from "../../tools/readmePicture";

test("the README's picture equals what its script draws", async () => {
  await expect(readmePicture()).toMatchFileSnapshot("../../docs/how-it-works.svg");
});
