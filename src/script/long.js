// Puts an accessor in the place of each number that JavaScript would round. Whatever reads the accessor fails the run, also
// when the script catches the error; so does a look at its descriptor, which has no value. A number that stays in its object,
// wherever the script puts the object, is written as its mark, which stands for all of its digits. Runs before the script
// does, so that the script can change none of the functions that are used here.
(mark, noted) => {
  const { apply, ownKeys } = Reflect;
  const { defineProperty, getOwnPropertyDescriptor } = Object;
  const { isArray } = Array;
  const { propertyIsEnumerable } = Object.prototype;
  const { get, set } = Map.prototype;
  const TooLong = RangeError;

  // The numbers by their accessors' functions, and the objects that have such accessors.
  const numbers = new Map();
  const owners = new Map();

  const fail = (number) => {
    const error = new TooLong("this number has more digits than JavaScript holds");
    noted(number, error.stack);
    throw error;
  };
  const numberOf = (accessor) => apply(get, numbers, [accessor]);
  const data = (value) => ({ __proto__: null, configurable: true, enumerable: true, writable: true, value });

  const check = (accessor) => {
    const number = numberOf(accessor);
    if (number !== undefined) fail(number);
  };
  const guard = (owner, name, look) => {
    const own = owner[name];
    const guarded = {
      [name](...given) {
        const answer = apply(own, this, given);
        look(answer);
        return answer;
      },
    };
    defineProperty(owner, name, { value: guarded[name] });
  };
  const checkOne = (descriptor) => check(descriptor?.get);
  const checkAll = (descriptors) => {
    const names = ownKeys(descriptors);
    for (let at = 0; at < names.length; at++) checkOne(descriptors[names[at]]);
  };
  guard(Object, "getOwnPropertyDescriptor", checkOne);
  guard(Reflect, "getOwnPropertyDescriptor", checkOne);
  guard(Object, "getOwnPropertyDescriptors", checkAll);
  guard(Object.prototype, "__lookupGetter__", check);
  guard(Object.prototype, "__lookupSetter__", check);

  const hideOne = (owner, name, number) => {
    const accessor = {
      __proto__: null,
      configurable: true,
      enumerable: true,
      get() {
        fail(number);
      },
      set(value) {
        defineProperty(this, name, data(value));
      },
    };
    apply(set, numbers, [accessor.get, number]);
    apply(set, numbers, [accessor.set, number]);
    apply(set, owners, [owner, true]);
    defineProperty(owner, name, accessor);
  };

  return {
    hide(event, places) {
      for (let number = 0; number < places.length; number++) {
        const way = places[number];
        let owner = event;
        for (let at = 0; at < way.length - 1; at++) owner = owner[way[at]];
        hideOne(owner, way[way.length - 1], number);
      }
    },
    // The replacer of `JSON.stringify`: in the place of an object that has such accessors, a copy with marks, which no code
    // of the script ever sees.
    written(_, value) {
      if (!apply(get, owners, [value])) return value;
      const copy = isArray(value) ? [] : {};
      if (isArray(value)) copy.length = value.length;
      const names = ownKeys(value);
      for (let at = 0; at < names.length; at++) {
        const name = names[at];
        if (!apply(propertyIsEnumerable, value, [name])) continue;
        const number = numberOf(getOwnPropertyDescriptor(value, name)?.get);
        defineProperty(copy, name, data(number === undefined ? value[name] : mark + number));
      }
      return copy;
    },
  };
};
