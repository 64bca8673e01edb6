/** Work done in parallel and finished in order, with bounds on how much is under way. */

export interface OrderedWork<Item, Result> {
  readonly items: Iterable<Item>;
  /** Memory that an item holds from its start to its finish. */
  footprint(item: Item): number;
  /** What may be held together; one item alone may be larger. */
  readonly budget: number;
  /** Items under way at once. */
  readonly width: number;
  start(item: Item): Promise<Result>;
  /** Called in the order of items, one after another. */
  finish(item: Item, result: Result): Promise<void>;
}

/** Rejects with the first failure, after everything under way has settled. */
export async function runOrdered<Item, Result>(work: OrderedWork<Item, Result>): Promise<void> {
  const open: { item: Item; bytes: number; result: Promise<Result> }[] = [];
  let held = 0;
  const finishFirst = async (): Promise<void> => {
    const { item, bytes, result } = open[0]!;
    const value = await result;
    open.shift();
    await work.finish(item, value);
    held -= bytes;
  };
  try {
    for (const item of work.items) {
      const bytes = work.footprint(item);
      while (open.length > 0 && (open.length >= work.width || held + bytes > work.budget))
        await finishFirst();
      held += bytes;
      const result = work.start(item);
      result.catch(() => undefined); // awaited in its turn
      open.push({ item, bytes, result });
    }
    while (open.length > 0) await finishFirst();
  } catch (error) {
    await Promise.allSettled(open.map(({ result }) => result));
    throw error;
  }
}
