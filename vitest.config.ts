/** Test projects, by what they need; `npm test` runs all that can run. */
import { defineConfig } from "vitest/config";

/** The suites use both cores of a small machine; more workers only add to each other's times. */
const MAX_WORKERS = 2;

function project(name: string, include: string[], timeoutSeconds: number) {
  return {
    test: {
      name,
      include,
      pool: "forks" as const,
      testTimeout: timeoutSeconds * 1000,
      hookTimeout: timeoutSeconds * 1000,
      globalSetup: ["test/helpers/builtOnce.ts"],
    },
  };
}

export default defineConfig({
  test: {
    maxWorkers: MAX_WORKERS,
    projects: [
      project(
        "unit",
        [
          "test/{core,io,model,engine,eval,pipeline,report,formats,pruners,cli,fuzz}/**/*.test.ts",
          "test/*.test.ts",
        ],
        120,
      ),
      project("contract", ["test/contract/**/*.test.ts"], 120),
      project("e2e", ["test/e2e/**/*.test.ts"], 300),
      project("integrations", ["test/integrations/**/*.test.ts"], 600),
      project("real", ["test/real/**/*.test.ts"], 600),
      project("native", ["test/native/**/*.test.ts"], 300),
    ],
  },
});
