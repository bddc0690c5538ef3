/**
 * The trigger of keys that were never rotated. The engine replaces a resource when a trigger changes, not when the
 * first one is set.
 */
export const FIRST_ROTATION = "first";
