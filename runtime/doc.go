// Package runtime runs a notebook and remembers it.
//
// A notebook is a Starlark file cut into cells by "# %%" lines. Running it is
// a Run. A built-in that costs something is a step: a name, a version and
// arguments, hashed to a fingerprint. A step's result is an Artifact: immutable
// bytes under their own hash. Everything that happens is an event. A report is
// a pure function of the store.
//
// Three laws keep this true. A step is a function of its Spec: what can change
// the result is in it, and nothing else is. Bytes come first and the row
// second: a crash leaves an orphan blob, never a dangling row. And the store is
// the only channel: whoever wants to know what happens reads it there.
package runtime
