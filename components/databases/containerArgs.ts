/** Arguments of a PostgreSQL that runs in a container of a host. */
import type * as pulumi from "@pulumi/pulumi";

/** The program that manages containers. */
export const ContainerEngine = { Docker: "docker", Podman: "podman" } as const;
export type ContainerEngine = (typeof ContainerEngine)[keyof typeof ContainerEngine];

/**
 * The container of PostgreSQL: its `name`, or `compose` and `service`. Image, Compose file, ports and `pg_hba.conf`
 * stay as they are.
 */
export interface HostContainerArgs {
  /** Name of the container. @example "shop-db" */
  name?: pulumi.Input<string>;
  /** Absolute path of the Compose file on the host. @example "/srv/immich/compose.yaml" */
  compose?: pulumi.Input<string>;
  /** Its service. @example "database" */
  service?: pulumi.Input<string>;
  /**
   * Program that manages the container. Units get the rights that it needs: Podman has no daemon and needs more.
   * @default "docker"
   */
  engine?: pulumi.Input<ContainerEngine>;
}
