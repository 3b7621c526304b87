/**
 * The state of the page: one object, replaced at every change, and those who watch it.
 * @module
 */

/**
 * @template S
 * @typedef {object} Store
 * @property {() => S} get The state; never change it.
 * @property {(patch: Partial<S>) => void} set Replaces some of its members.
 * @property {(select: (state: S) => unknown[], render: (state: S) => void) => void} watch Calls `render` now, and
 *     whenever one of the selected values is another than before.
 */

/**
 * Makes a store.
 * @template {object} S
 * @param {S} initial
 * @returns {Store<S>}
 */
export function createStore(initial) {
  let state = initial;
  /** @type {Set<() => void>} */
  const watchers = new Set();
  return {
    get: () => state,
    set(patch) {
      state = { ...state, ...patch };
      for (const watcher of watchers) watcher();
    },
    watch(select, render) {
      let before = select(state);
      watchers.add(() => {
        const now = select(state);
        if (now.every((value, index) => Object.is(value, before[index]))) return;
        before = now;
        render(state);
      });
      render(state);
    },
  };
}
