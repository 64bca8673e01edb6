/** What to do when an unfinished run of the same output is found. */
export type IfUnfinished = "refuse" | "resume" | "restart";
