import { describe, expect, test } from "vitest";
import { addressFault, type WebType } from "../../../runtime/notify/addresses";

const DISCORD = "https://discord.com/api/webhooks/123456/aB-c_d";
const WORKFLOW = "https://prod-12.westeurope.logic.azure.com:443/workflows/f00/triggers/manual/paths/invoke?sv=1.0";
const NEW_WORKFLOW = "https://default0a.4b.environment.api.powerplatform.com:443/powerautomate/workflows/f00?sp=%2Ft";

describe("the address of a target", () => {
  test.each<[WebType, string]>([
    ["slack", "https://hooks.slack.com/services/T/B/x"],
    ["slack", `${DISCORD}/slack`],
    ["slack", "http://mattermost.internal/hooks/x"],
    ["ntfy", "https://ntfy.sh"],
    ["telegram", "https://api.telegram.org"],
    ["telegram", "http://127.0.0.1:8081/telegram/"],
    ["discord", DISCORD],
    ["discord", DISCORD.replace("discord.com/api", "ptb.discord.com/api/v10")],
    ["discord", `${DISCORD}?thread_id=5`],
    ["discord", "http://relay.internal/any"],
    ["teams", `${WORKFLOW}&sig=x`],
    ["teams", `${NEW_WORKFLOW}&sig=x`],
    ["teams", "https://relay.internal/any"],
    ["alertmanager", "http://127.0.0.1:9093"],
    ["webhook", `${WORKFLOW}&sig=x`],
    ["webhook", "http://127.0.0.1/hook"],
  ])("of type %s may be %s", (type, address) => {
    expect(addressFault(type, address)).toBeNull();
  });

  test.each<[WebType, string, string]>([
    ["slack", "hooks.slack.com/services/x", "an http or https address"],
    ["slack", "file:///etc/passwd", "an http or https address"],
    ["slack", "http://hooks.slack.com/services/x", "an https address"],
    ["slack", DISCORD, 'an address of Slack, and is one of Discord (type "discord")'],
    ["teams", DISCORD, 'an address of Teams, and is one of Discord (type "discord")'],
    ["discord", `${WORKFLOW}&sig=x`, 'an address of Discord, and is one of Teams (type "teams")'],
    ["discord", "https://discord.com/channels/1/2", "a webhook's address that ends with /api/webhooks/ID/TOKEN"],
    ["discord", `${DISCORD}/slack`, "a webhook's address that ends with /api/webhooks/ID/TOKEN"],
    ["teams", WORKFLOW, "a workflow's whole address, with its signature (&sig=…)"],
    ["teams", NEW_WORKFLOW, "a workflow's whole address, with its signature (&sig=…)"],
    [
      "teams",
      "https://acme.webhook.office.com/webhookb2/x",
      "a workflow's address: Microsoft has retired the connectors of webhook.office.com",
    ],
    ["telegram", "https://api.telegram.org/bot1:x/sendMessage", "the address of a Bot API server, without a token"],
    ["telegram", "https://bots.example.net/?x=1", "the address of a Bot API server, without a token"],
    ["ntfy", "https://hc-ping.com/x", 'an address of ntfy, and is one of healthchecks.io (type "healthchecks")'],
  ])("of type %s may not be %s", (type, address, expected) => {
    expect(addressFault(type, address)).toBe(expected);
  });

  test("is not taken for a service's because it contains the service's name", () => {
    for (const host of ["notdiscord.com", "discord.com.example.net", "my-office.com", "xlogic.azure.com"])
      expect(addressFault("slack", `https://${host}/x`)).toBeNull();
  });
});
