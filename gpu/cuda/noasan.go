//go:build !asan

package cuda

const apart = false
