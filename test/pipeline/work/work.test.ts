/** The workshop: order and bounds of work in parallel, buffers that come back. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { BufferStore, Workspace } from "../../../src/pipeline/work/buffers.ts";
import { runOrdered } from "../../../src/pipeline/work/ordered.ts";
import { createRandom } from "../../helpers/random.ts";

describe("runOrdered", () => {
  interface Item {
    readonly id: number;
    readonly bytes: number;
  }

  /** Runs items that settle in any order, and watches. */
  async function watch(items: readonly Item[], width: number, budget: number, failing?: number) {
    const random = createRandom(width * 31 + budget);
    const open = new Set<Item>();
    const finished: number[] = [];
    let [mostOpen, mostBytes] = [0, 0];
    let failure: unknown;
    await runOrdered<Item, number>({
      items,
      footprint: ({ bytes }) => bytes,
      budget,
      width,
      start: async (item) => {
        open.add(item);
        mostOpen = Math.max(mostOpen, open.size);
        const bytes = [...open].reduce((sum, other) => sum + other.bytes, 0);
        mostBytes = Math.max(mostBytes, open.size === 1 ? 0 : bytes);
        for (let i = random.int(4); i > 0; i--) await sleep(0);
        if (item.id === failing) throw new Error("broken");
        return item.id;
      },
      finish: async (item, id) => {
        expect(id).toBe(item.id);
        finished.push(id);
        open.delete(item);
      },
    }).catch((error: unknown) => {
      failure = error;
    });
    return { finished, mostOpen, mostBytes, failure };
  }

  const items = Array.from({ length: 60 }, (_, id) => ({ id, bytes: (id * 37) % 11 }));

  test.each([1, 2, 3, 5])(
    "WR-01 has at most %i items under way, so that no more are done again after a kill",
    async (width) => {
      const { finished, mostOpen } = await watch(items, width, 1000);
      expect(finished).toEqual(items.map(({ id }) => id));
      expect(mostOpen).toBe(width);
    },
  );

  test("holds no more than its budget, but for one item alone", async () => {
    const { mostBytes, finished } = await watch([...items, { id: 60, bytes: 500 }], 8, 20);
    expect(mostBytes).toBeLessThanOrEqual(20);
    expect(finished).toHaveLength(61);
  });

  test("ends with the first failure, after all that is under way has settled", async () => {
    const { failure, finished } = await watch(items, 4, 1000, 17);
    expect(failure).toEqual(new Error("broken"));
    expect(finished).toEqual(items.slice(0, 17).map(({ id }) => id));
  });
});

describe("buffers", () => {
  test("come back: the smallest that will do is lent again", () => {
    const store = new BufferStore(1000);
    expect(store.lend(100)).toBeUndefined();
    expect(store.lend(150)).toBeUndefined();
    const [small, large] = [new ArrayBuffer(100), new ArrayBuffer(150)];
    store.giveBack(large);
    store.giveBack(small);
    expect(store.lend(90)).toBe(small);
    expect(store.lend(90)).toBe(large);
    expect(store.lend(90)).toBeUndefined();
  });

  test("that are far too large for a task stay free for a larger one", () => {
    const store = new BufferStore(1000);
    const large = new ArrayBuffer(300);
    store.lend(300);
    store.giveBack(large);
    expect(store.lend(100)).toBeUndefined();
    expect(store.lend(200)).toBe(large);
  });

  test("are dropped when with those in use they would be over the budget", () => {
    const store = new BufferStore(250);
    store.lend(100);
    store.giveBack(new ArrayBuffer(100));
    expect(store.lend(200)).toBeUndefined(); // 300 with the free one, which goes
    expect(store.lend(100)).toBeUndefined();
  });

  test("a workspace takes the buffer that it was lent when that is large enough", () => {
    const lent = new ArrayBuffer(64);
    const workspace = new Workspace(lent);
    expect(workspace.take(40).buffer).toBe(lent);
    expect(workspace.take(80).buffer.byteLength).toBe(80);
    expect(new Workspace().buffer).toBeUndefined();
  });
});
