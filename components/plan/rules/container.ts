/** Arguments of a host whose PostgreSQL runs in a container. The update finds what only the host knows. Pure. */
import { containerNameFault, namesContainer } from "../../../runtime/config/settings";
import { engineOf } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import { abstaining, eachOf } from "../findings/abstain";
import type { ContainerPlan, HostPlan } from "../model/plan";
import { checkPath } from "./values";

const ENGINES: readonly string[] = ["docker", "podman"];

/** Without a container, only that there is a data directory. */
export function checkContainer(plan: HostPlan): Finding[] {
  const { container } = plan;
  if (container === undefined)
    return plan.dataDirectory === ""
      ? [finding("PB118", "dataDirectory", "it is missing", "set it, or container if PostgreSQL runs in one")]
      : [];
  return abstaining(
    () => checkChoice(container),
    () => [...checkName("name", container.name), ...checkName("service", container.service)],
    () => checkPath("container.compose", container.compose),
    () => {
      if (ENGINES.includes(container.engine)) return [];
      return [finding("PB156", "container.engine", `"${container.engine}" is unknown`, 'write "docker" or "podman"')];
    },
    () => checkExcluded(plan),
  );
}

function checkChoice(container: ContainerPlan): Finding[] {
  if (namesContainer(container)) return [];
  const hint = 'write { name: "shop-db" }, or { compose: "/srv/shop/compose.yaml", service: "database" }';
  return [finding("PB156", "container", "it needs either name, or compose and service", hint)];
}

function checkName(field: "name" | "service", name: string | undefined): Finding[] {
  const wanted = name === undefined ? null : containerNameFault(name);
  if (wanted === null) return [];
  return [finding("PB156", `container.${field}`, `${JSON.stringify(name)} is no name`, `write ${wanted}`)];
}

/** Arguments about a server of the host itself. */
function checkExcluded(plan: HostPlan): Finding[] {
  const rows: [argument: string, isGiven: () => boolean, fact: string][] = [
    [
      "user",
      () => plan.user !== "root",
      "only root can read a container's files, and the host has no other account for it",
    ],
    [
      "archive",
      () => (plan.archive === "command") !== plan.restoreOnly,
      "no program in the container can archive: WAL leaves through a slot",
    ],
    ["engine", () => engineOf(plan.engine).stock, "stock pgBackRest cannot reach a container"],
    ["postgres", () => plan.postgres !== undefined, "the image decides the version"],
    ["allowRestart", () => plan.allowRestart, "a slot needs no restart"],
    ["restartCommand", () => plan.restartCommand.length > 0, "a slot needs no restart"],
    [
      "streaming.degradeAfterSeconds",
      () => plan.synchronous?.degradeAfterSeconds !== undefined,
      "its unit asks PostgreSQL by psql, which the host need not have",
    ],
    ["snapshots", () => plan.snapshots.length > 0, "a rollback of the host's file system would not stop the container"],
  ];
  return eachOf(rows, ([argument, isGiven, fact]) =>
    isGiven() ? [finding("PB156", argument, fact, `leave ${argument} out, or container`)] : [],
  );
}
