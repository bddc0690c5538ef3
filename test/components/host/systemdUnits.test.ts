import { expect, it } from "vitest";
import type { Connection } from "../../../components/host/connection";
import { disableUnits, enableUnits, startServing } from "../../../components/host/systemdUnits";

/** Answers with the states of the units, in the order in which they are asked for. */
function systemd(states: Readonly<Record<string, string>>): {
  readonly connection: Connection;
  readonly done: string[];
} {
  const done: string[] = [];
  const exec: Connection["exec"] = async (command) => {
    if (!command.includes("systemctl show") && !command.some((part) => part.includes("systemctl show"))) {
      const recreates = command.some((part) => part.includes("systemctl stop"));
      done.push(recreates ? `recreate ${command.slice(4).join(" ").trim()}` : command.slice(1).join(" "));
      return { exitCode: 0, stdout: "", stderr: "" };
    }
    const units = command.filter((part) => /\.(service|socket|timer)$/.test(part));
    const template = units.find((unit) => unit.includes("@."));
    if (template !== undefined) return { exitCode: 1, stdout: "", stderr: `Unit name ${template} is neither a valid` };
    return { exitCode: 0, stdout: units.map((unit) => `${states[unit]}\n`).join(""), stderr: "" };
  };
  return { connection: { name: "db1", exec } as Connection, done };
}

const [SOCKET, SERVICE, TIMER] = ["a-agent.socket", "a-agent.service", "a-full.timer"];
const state = (file: string, active: string): string => `LoadState=loaded UnitFileState=${file} ActiveState=${active}`;

it.each([
  ["enabled", "inactive", "active", [`recreate ${SOCKET} ${SERVICE} ${SERVICE}`]],
  ["enabled", "failed", "activating", [`recreate ${SOCKET} ${SERVICE} ${SERVICE}`]],
  ["disabled", "inactive", "inactive", [`enable --now -- ${SOCKET}`]],
  ["disabled", "active", "active", [`enable --now -- ${SOCKET}`]],
  ["enabled", "active", "active", []],
])(
  "a socket that is %s and %s, with a service that is %s, works afterwards: systemd starts none while its service runs",
  async (file, active, service, expected) => {
    const { connection, done } = systemd({
      [SOCKET]: state(file, active),
      [SERVICE]: state("static", service),
      [TIMER]: state("enabled", "active"),
    });
    await enableUnits(connection, [SOCKET, TIMER], []);
    expect(done).toEqual(expected);
  },
);

it.each([
  ["active", `recreate ${SOCKET} ${SERVICE} ${SERVICE}`],
  ["activating", `recreate ${SOCKET} ${SERVICE} ${SERVICE}`],
  ["inactive", `recreate ${SOCKET} ${SERVICE}`],
])("a socket with a new file is recreated, and its service that was %s is as before", async (service, expected) => {
  const { connection, done } = systemd({
    [SOCKET]: state("enabled", "active"),
    [SERVICE]: state("enabled", service),
  });
  const units = { enabled: [SERVICE, SOCKET, TIMER], restarted: [SERVICE] };
  await startServing(connection, units, [`/etc/systemd/system/${SERVICE}`, `/etc/systemd/system/${SOCKET}`]);
  expect(done).toEqual(["daemon-reload", "daemon-reload", expected]);
});

it("a service restarts with a new program, and its socket stays", async () => {
  const { connection, done } = systemd({
    [SOCKET]: state("enabled", "active"),
    [SERVICE]: state("static", "active"),
  });
  await startServing(connection, { enabled: [SOCKET, TIMER], restarted: [SERVICE] }, ["/usr/lib/runtime.cjs"]);
  expect(done).toEqual([`try-restart -- ${SERVICE}`]);
});

it("a template among removed files is not asked for: systemd tells no state of it, and nothing of it runs", async () => {
  const { connection, done } = systemd({ [TIMER]: state("enabled", "active") });
  await disableUnits(connection, [TIMER, "a-failed@.service"]);
  expect(done).toEqual([`disable --now -- ${TIMER}`]);
});
