import { expect, test } from "vitest";
import { fileText, notifyText } from "../../../components/credentials/notifyFile";
import { parseTargets } from "../../../runtime/notify/targets";
import { VERSION } from "../../../runtime/version";

const HIDDEN = "geheim";

test("a file of targets names the version that wrote it, and this version's runtime reads it", async () => {
  const written = notifyText("PostgresHost ledger", [{ type: "slack", url: "https://hooks.slack.com/services/x" }]);
  const text = await new Promise<string>((resolve) => {
    written.apply(resolve);
  });
  expect(JSON.parse(text)).toMatchObject({ version: 1, package: VERSION });
  expect(parseTargets(text, "notify.json", (warning) => expect.fail(warning))).toHaveLength(1);
});

// claim: docs/notifications.md: the preview refuses targets that the runtime would refuse
test.each<[string, string, object]>([
  ["url", "must be an address of Teams", { type: "teams", url: `https://discord.com/api/webhooks/1/${HIDDEN}` }],
  ["chatId", "must be a chat's number", { type: "telegram", botToken: `1:${HIDDEN}`, chatId: "the ops chat" }],
  ["chatId", "is required", { type: "telegram", botToken: `1:${HIDDEN}` }],
])("a wrong %s (%s) is an error of the preview, without a value", (field, fault, target) => {
  const write = (): string =>
    fileText("PostgresHost ledger", [{ type: "slack", url: "https://hooks.slack.com/x" }, target]);
  expect(write).toThrow("PostgresHost ledger: 1 error in the arguments");
  expect(write).toThrow(`PB191 notify.targets[1].${field}: it ${fault}`);
  expect(write).not.toThrow(/geheim|ops chat/);
});
