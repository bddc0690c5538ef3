/** What stands around clusters: Services, Deployments of plugins, secrets from elsewhere. Pure. */
import { type Finding, finding } from "../../findings/findings";
import { isUnknown } from "../../model/unknown";
import { groupsOf, type KubeObject, listAt, numberAt, pathOf, textAt } from "./objects";

/** A container of the plugins that this package judges: the beginning of the image's last part. */
const PLUGIN_IMAGES = /^(cnpg-pgbackrest-|plugin-barman-cloud|cnpg-plugin-|cloudnative-pg$)/;
/** The lease of Barman's plugin, which older images of Dalibo's took over with its code. */
const SHARED_LEASE = "822e3f5c.cnpg.io";

/** Each one by itself. */
export function checkWorkload(object: KubeObject): Finding[] {
  if (object.kind === "Service" && object.apiVersion === "v1") return checkService(object);
  if (object.kind === "ExternalSecret") return checkExternalSecret(object);
  if (object.kind === "Deployment") return checkImages(object);
  return [];
}

/** Two controllers of one namespace that wait for one lease: only one of them ever works. */
export function checkWorkloadsTogether(objects: readonly KubeObject[]): Finding[] {
  const controllers = objects.filter(
    (object) => object.kind === "Deployment" && numberAt(object.json, "spec", "replicas") !== 0 && usesSharedLease(object),
  );
  return groupsOf(controllers, (object) => object.namespace).flatMap((group) => {
    const [first] = group;
    return group.slice(1).map((object) => {
      const fact = `${first?.name ?? ""} holds the leader lease ${SHARED_LEASE} in this namespace, and this controller waits for the same one for ever`;
      const hint = "use image 0.0.3 or newer of the pgBackRest plugin, which has a lease of its own, or remove the other plugin first";
      return finding("PB086", pathOf(object, ""), fact, hint);
    });
  });
}

function checkService(object: KubeObject): Finding[] {
  if (!/^pgbackrest(-|$)/i.test(object.name)) return [];
  const variable = object.name.toUpperCase().replaceAll("-", "_");
  const fact = `a Service named "${object.name}" becomes environment variables ${variable}_PORT, ${variable}_SERVICE_HOST and others of every pod in its namespace, and pgBackRest reads every PGBACKREST_* variable as an option`;
  return [finding("PB052", pathOf(object, "metadata.name"), fact, `rename it, for instance to "cnpg-${object.name}"`)];
}

function checkExternalSecret(object: KubeObject): Finding[] {
  if (!/^external-secrets\.io\/v1(alpha|beta)1$/.test(object.apiVersion)) return [];
  const fact = `${object.apiVersion} is served no more by the External Secrets Operator of today: the object is refused, and the keys never arrive`;
  return [finding("PB087", pathOf(object, "apiVersion"), fact, "write external-secrets.io/v1")];
}

function checkImages(object: KubeObject): Finding[] {
  return imagesOf(object).flatMap(({ field, image }) => {
    const { name, tag } = imageParts(image);
    if (!PLUGIN_IMAGES.test(name) || (tag !== "latest" && tag !== "")) return [];
    const fact = `"${image}" is another program after each restart: a new version may not read the objects of this one (Repository became Stanza so)`;
    return [finding("PB085", pathOf(object, field), fact, "name a version, better a digest")];
  });
}

/** Images of the containers, and those that a controller is told by a variable. */
function imagesOf(object: KubeObject): { field: string; image: string }[] {
  const containers = listAt(object.json, "spec", "template", "spec", "containers");
  return containers.flatMap((container, index) => {
    const field = `spec.template.spec.containers[${index}]`;
    const own = textAt(container, "image");
    const told = listAt(container, "env").flatMap((item) => {
      const [name, value] = [textAt(item, "name") ?? "", textAt(item, "value")];
      return value !== null && name.endsWith("_IMAGE") ? [{ field: `${field}.env.${name}`, image: value }] : [];
    });
    return [...(own === null ? [] : [{ field: `${field}.image`, image: own }]), ...told].filter(({ image }) => !isUnknown(image));
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
    // Versions up to 0.0.2 are not told apart from `latest` of the time; newer ones have a lease of their own.
    return name === "cnpg-pgbackrest-controller" && (tag === "latest" || tag === "" || ["0.0.1", "0.0.2"].includes(tag));
  });
}
