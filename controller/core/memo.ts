/**
 * Remembers what a pure function answered, for up to `limit` texts; then it starts afresh. For reading the same addresses
 * over and over, as every event from the store and every renewal does. What the function throws is not remembered.
 */
export function memoize<T>(limit: number, read: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const value = read(text);
    if (known.size >= limit) known.clear();
    known.set(text, value);
    return value;
  };
}
