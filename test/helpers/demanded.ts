/** What SPINFER_REQUIRE lists must be there: a test that lacks it fails instead of being skipped. */
const DEMANDED = (process.env["SPINFER_REQUIRE"] ?? "").split(/[\s,]+/);

export const isDemanded = (name: string): boolean => DEMANDED.includes(name);
