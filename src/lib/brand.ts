// Strings that must not be mixed up get a name the compiler knows.
declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
