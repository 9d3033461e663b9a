"use strict";
// Runs before the script does. The time limit is looked at between the engine's steps, and one built-in call is one step:
// those whose work does not end with the memory limit are refused over so much data. Then what makes code from text goes.
{
  const { apply } = Reflect;
  const guard = (owner, names, fits) => {
    for (const name of names) {
      const own = owner[name];
      const guarded = {
        [name](...given) {
          if (fits(this, given)) return apply(own, this, given);
          throw new RangeError(`${name}() over so much data takes too long here`);
        },
      };
      Object.defineProperty(owner, name, { value: guarded[name] });
    }
  };

  // An array can be long without taking memory: `new Array(4294967295)`.
  const short = (list) => !(list?.length > 1e6);
  guard(
    Array.prototype,
    ["copyWithin", "fill", "flat", "flatMap", "join", "reverse", "shift", "slice", "splice", "toLocaleString", "unshift"],
    short,
  );
  guard(Array.prototype, ["concat"], (list, given) => short(list) && given.every(short));
  // A comparison in JavaScript is a step of its own.
  guard(Array.prototype, ["sort", "toSorted"], (list, [compare]) => short(list) && (compare || !(list?.length > 1e5)));

  // Both texts can be the sender's, and `aaa…` is looked for in `aaa…` at every place.
  const soon = (text, [part]) => typeof part !== "string" || !(text?.length * part.length > 1e8);
  guard(String.prototype, ["includes", "indexOf", "lastIndexOf", "replace", "replaceAll", "split"], soon);
  // Accents are put in order by insertion.
  guard(String.prototype, ["localeCompare", "normalize"], (text, [other]) => !(text?.length > 1e4 || other?.length > 1e4));

  // Without a replacer, which is a step for every value, it writes on when the memory has ended.
  const { stringify } = JSON;
  const same = (name, value) => value;
  JSON.stringify = (value, replacer, space) => stringify(value, replacer ?? same, space);

  for (const made of [() => {}, function* () {}, async () => {}, async function* () {}]) {
    delete Object.getPrototypeOf(made).constructor;
  }
  delete globalThis.eval;
  delete globalThis.Function;
}
