//go:build !asan

package sim

var sanitize []string
