/**
 * Makes a refused destroy atomic. The engine deletes what nothing depends on first, and learns only at a protected
 * resource that it may not: without a preview, everything that depends on it would be gone by then.
 */
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "./children";

/** Depends on what it guards, so that a destroy reaches it first and stops at its protection. */
class Guard extends pulumi.ComponentResource {
  constructor(name: string, opts: pulumi.ComponentResourceOptions) {
    super(typeToken("KeyGuard"), name, {}, opts);
    this.registerOutputs({});
  }
}

/**
 * Every component that can be protected has one, even without children: a resource that appears and disappears could
 * not be protected.
 * @param children those that a destroy would delete before the protected one
 */
export function guardChildren(
  name: string,
  children: readonly pulumi.Resource[],
  parent: pulumi.Resource,
  protect: boolean,
): void {
  new Guard(childName(name, "guard"), { parent, protect, dependsOn: [...children] });
}
