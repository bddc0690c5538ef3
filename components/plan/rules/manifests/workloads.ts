/** Objects around clusters: Services, Deployments of plugins, ExternalSecrets. Pure. */
import { type Finding, finding } from "../../findings/findings";
import { isUnknown } from "../../model/unknown";
import { groupsOf, type KubeObject, listAt, numberAt, pathOf, textAt } from "./objects";

/** Containers of the plugins that this package checks: the last part of the image begins so. */
const PLUGIN_IMAGES = /^(cnpg-pgbackrest-|plugin-barman-cloud|cnpg-plugin-|cloudnative-pg$)/;
/** Barman's plugin has this lease. Older images of Dalibo's plugin took it over with Barman's code. */
const SHARED_LEASE = "822e3f5c.cnpg.io";

export function checkWorkload(object: KubeObject): Finding[] {
  if (object.kind === "Service" && object.apiVersion === "v1") return checkService(object);
  if (object.kind === "ExternalSecret") return checkExternalSecret(object);
  if (object.kind === "Deployment") return checkImages(object);
  return [];
}

/** Two controllers that share a lease in one namespace: only one of them ever works. */
export function checkWorkloadsTogether(objects: readonly KubeObject[]): Finding[] {
  const controllers = objects.filter(
    (object) =>
      object.kind === "Deployment" && numberAt(object.json, "spec", "replicas") !== 0 && usesSharedLease(object),
  );
  return groupsOf(controllers, (object) => object.namespace).flatMap((group) => {
    const [first] = group;
    return group.slice(1).map((object) => {
      const fact = `${first?.name ?? ""} holds the leader lease ${SHARED_LEASE} in this namespace, and this controller waits for the same lease forever`;
      const hint =
        "use image 0.0.3 or newer of the pgBackRest plugin, which has its own lease, or remove the other plugin first";
      return finding("PB086", pathOf(object, ""), fact, hint);
    });
  });
}

function checkService(object: KubeObject): Finding[] {
  if (!/^pgbackrest(-|$)/i.test(object.name)) return [];
  const variable = object.name.toUpperCase().replaceAll("-", "_");
  const fact = `a Service named "${object.name}" becomes environment variables ${variable}_PORT, ${variable}_SERVICE_HOST and others in every pod of its namespace, and pgBackRest reads every PGBACKREST_* variable as an option`;
  return [finding("PB052", pathOf(object, "metadata.name"), fact, `rename it, for instance to "cnpg-${object.name}"`)];
}

function checkExternalSecret(object: KubeObject): Finding[] {
  if (!/^external-secrets\.io\/v1(alpha|beta)1$/.test(object.apiVersion)) return [];
  const fact = `${object.apiVersion} is no longer served by the External Secrets Operator: the API server refuses the object, and the keys never arrive`;
  return [finding("PB087", pathOf(object, "apiVersion"), fact, "write external-secrets.io/v1")];
}

function checkImages(object: KubeObject): Finding[] {
  return imagesOf(object).flatMap(({ field, image }) => {
    const { name, tag } = imageParts(image);
    if (!PLUGIN_IMAGES.test(name) || (tag !== "latest" && tag !== "")) return [];
    const fact = `"${image}" may run another version after each restart, and a new version may not read these objects (Repository became Stanza that way)`;
    return [finding("PB085", pathOf(object, field), fact, "name a version, better a digest")];
  });
}

/** Images of the containers, and those that a variable passes to a controller. */
function imagesOf(object: KubeObject): { field: string; image: string }[] {
  const containers = listAt(object.json, "spec", "template", "spec", "containers");
  return containers.flatMap((container, index) => {
    const field = `spec.template.spec.containers[${index}]`;
    const own = textAt(container, "image");
    const byVariable = listAt(container, "env").flatMap((item) => {
      const [name, value] = [textAt(item, "name") ?? "", textAt(item, "value")];
      return value !== null && name.endsWith("_IMAGE") ? [{ field: `${field}.env.${name}`, image: value }] : [];
    });
    return [...(own === null ? [] : [{ field: `${field}.image`, image: own }]), ...byVariable].filter(
      ({ image }) => !isUnknown(image),
    );
  });
}

function imageParts(image: string): { name: string; tag: string } {
  if (image.includes("@")) return { name: image.split("@")[0]?.split("/").at(-1)?.split(":")[0] ?? "", tag: "digest" };
  const [name = "", tag = ""] = (image.split("/").at(-1) ?? "").split(":");
  return { name, tag };
}

function usesSharedLease(object: KubeObject): boolean {
  return imagesOf(object).some(({ field, image }) => {
    const { name, tag } = imageParts(image);
    if (!field.endsWith(".image")) return false;
    if (name === "plugin-barman-cloud") return true;
    // `latest` may mean a version up to 0.0.2, which shares the lease; newer ones have their own.
    return (
      name === "cnpg-pgbackrest-controller" && (tag === "latest" || tag === "" || ["0.0.1", "0.0.2"].includes(tag))
    );
  });
}
