//go:build cuda && linux && amd64 && !asan

package cuda

const apart = false
