/** One ExternalSecret with the keys of several repositories, for all clusters of a namespace. */
import { checkedArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { type CustomResource, declareKubernetes, showChild, shownChild } from "../internal/kubernetesObjects";
import { type ExternalKey, renderExternalSecret } from "../render/kubernetes/secrets";
import type { SecretRef } from "../repositories/target";
import {
  checkedSecretName,
  type ExternalKeys,
  externalKeysOf,
  type ExternalStore,
  externalSourceOf,
  refOf,
} from "./externalKeys";
import { type TextMap, textsOf, withDefault } from "../internal/inputs";
import { nameWhenMade } from "./repositorySecret";

export interface SharedExternalSecretArgs {
  /** Namespace of the Secret. */
  namespace: pulumi.Input<string>;
  /** Name of the Secret. If omitted, the name of this component. */
  secretName?: pulumi.Input<string>;
  store: ExternalStore;
  /**
   * Keys by a name of your own for each repository; keys without `secretKey` have it as prefix: `b2-ACCESS_KEY_ID`.
   * @example
   * {
   *   b2: {
   *     accessKeyId: { key: "backblaze", property: "KEY_ID" },
   *     secretAccessKey: { key: "backblaze", property: "KEY" }
   *   }
   * }
   */
  repositories: { [repository: string]: ExternalKeys };
  /** Besides `cnpg.io/reload`. */
  labels?: pulumi.Input<{ [name: string]: pulumi.Input<string> }>;
}

/**
 * One `ExternalSecret` whose Secret several repositories, and all clusters of the namespace, refer to.
 *
 * ```ts
 * const keys = new SharedExternalSecret("cnpg-secret", {
 *   namespace: "database",
 *   store: { name: "onepassword-connect" },
 *   repositories: {
 *     b2: {
 *       accessKeyId: { key: "backblaze", property: "KEY_ID" },
 *       secretAccessKey: { key: "backblaze", property: "KEY" },
 *     },
 *     r2: {
 *       accessKeyId: { key: "cloudflare", property: "KEY_ID" },
 *       secretAccessKey: { key: "cloudflare", property: "KEY" },
 *     },
 *   },
 * });
 * ```
 *
 * Then `existingSecret: keys.refs.b2` of a repository.
 */
export class SharedExternalSecret extends pulumi.ComponentResource {
  /** References to Secrets by the names in `repositories`. Wait for the ExternalSecret. */
  public readonly refs: { [repository: string]: SecretRef };

  constructor(name: string, args: SharedExternalSecretArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("SharedExternalSecret", name, args);
    const title = `SharedExternalSecret ${name}`;
    const secretName = checkedSecretName(title, withDefault(own.secretName, name));
    const { labels = {}, namespace } = own;
    const keys = Object.entries(own.repositories).map(([repository, remote]) => ({
      repository,
      parts: externalKeysOf(title, `repositories.${repository}`, remote, `${repository}-`),
    }));
    const all = checkedKeys(
      title,
      keys.flatMap(({ parts }) => Object.values(parts)),
    );
    super(typeToken("SharedExternalSecret"), name, { namespace, secretName }, opts);
    const object = renderExternalSecret<pulumi.Input<string>, TextMap>(
      { name: secretName, namespace, labels },
      externalSourceOf(own.store),
      all,
      textsOf,
    );
    const made = declareKubernetes(childName(name, "secret"), object, { parent: this });
    showChild(this, "secret", made);
    this.refs = Object.fromEntries(
      keys.map(({ repository, parts }) => [
        repository,
        refOf(
          nameWhenMade(made, secretName),
          Object.fromEntries(Object.entries(parts).map(([part, key]) => [part, key.secretKey])),
        ),
      ]),
    );
    this.registerOutputs({});
  }

  /** The ExternalSecret. */
  public get externalSecret(): CustomResource {
    return shownChild(this, "secret") as CustomResource;
  }
}

/** Names that come later are checked with all the others. @throws InputPropertyError */
function checkedKeys(title: string, keys: readonly Key[]): readonly Key[] {
  const names = keys.map(({ secretKey }) => secretKey);
  const known = names.filter((name) => typeof name === "string");
  if (keys.length === 0 || known.length > 0) checkKeys(title, known);
  if (known.length === names.length) return keys;
  const checked = pulumi.all(names).apply((all) => {
    checkKeys(title, all);
    return all;
  });
  return keys.map((key, index) =>
    typeof key.secretKey === "string" ? key : { ...key, secretKey: checked.apply((all) => all[index] ?? "") },
  );
}

type Key = ExternalKey<pulumi.Input<string>>;

function checkKeys(title: string, secretKeys: readonly string[]): void {
  const wrong = (reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath: "repositories", reason: `${title}: ${reason}` });
  };
  if (secretKeys.length === 0) wrong("no repository is declared");
  for (const [index, key] of secretKeys.entries()) {
    if (!/^[-._a-zA-Z0-9]+$/.test(key))
      wrong(`"${key}" is not a key for a Secret: use letters, digits, hyphens, dots and underscores`);
    if (secretKeys.indexOf(key) !== index)
      wrong(`two values share the key "${key}": give one of them another secretKey`);
  }
}
