// Puts, in the place of each number that JavaScript would round, what says so when the script reads it. A number that stays
// in its object, wherever the script puts the object, is written as its mark, which stands for all of its digits.
(event, places, mark, noted) => {
  let writing = false;
  places.forEach((way, number) => {
    const name = way.pop();
    const owner = way.reduce((at, step) => at[step], event);
    Object.defineProperty(owner, name, {
      configurable: true,
      enumerable: true,
      get() {
        if (writing) return mark + number;
        noted(number);
        throw new RangeError("this number has more digits than JavaScript holds");
      },
      set(value) {
        Object.defineProperty(this, name, { configurable: true, enumerable: true, writable: true, value });
      },
    });
  });
  return () => {
    writing = true;
  };
};
