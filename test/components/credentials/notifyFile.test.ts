import { expect, test } from "vitest";
import { notifyText } from "../../../components/credentials/notifyFile";
import { parseTargets } from "../../../runtime/notify/targets";
import { VERSION } from "../../../runtime/version";

test("a file of targets names the version that wrote it, and this version's runtime reads it", async () => {
  const written = notifyText([{ type: "slack", url: "https://hooks.slack.com/services/x" }]);
  const text = await new Promise<string>((resolve) => {
    written.apply(resolve);
  });
  expect(JSON.parse(text)).toMatchObject({ version: 1, package: VERSION });
  expect(parseTargets(text, "notify.json", (warning) => expect.fail(warning))).toHaveLength(1);
});
