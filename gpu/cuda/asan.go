//go:build cuda && linux && amd64 && asan

package cuda

// apart gives each Buf memory of its own until Close: AddressSanitizer knows
// where an allocation ends, not where a part of an arena does.
const apart = true
